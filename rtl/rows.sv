// Which pixels the rows of an `os` column group hold.
//
// Two registers per row: one is in use, the other is written, a row per cycle, while the next round is loaded
// (packed pixels of the conditional phase; the base phase counts). With the last step a third set takes the
// pixels over, to say where the sums belong that leave later, a row per cycle.
module rows
  import cgsim_pkg::*;
#(
    parameter int ROWS = 4
) (
    input logic clk,
    input logic reset,
    input logic direct,
    // The load: pixels as the scanner finds them.
    input logic load_begins,
    input logic loading,
    input index_t wanted,  // pixels of the round that is being loaded
    input logic found,
    input index_t head,
    output logic pop,
    output logic all_found,
    // The stream.
    input logic start,
    input round_t round,
    output index_t pixel[ROWS],
    output logic [ROWS-1:0] has_pixel,
    // The exit: with the last step, and in the ROWS - 1 cycles that follow, the pixel of a row.
    input logic last_enters,
    input tag_t tag,  // what the rows have in common
    output logic exits,
    output tag_t exit_tag
);
  index_t in_use[ROWS], written[ROWS], leaving[ROWS];
  logic [ROWS-1:0] leaving_has;
  index_t found_so_far, now_found, next_found;
  index_t row;  // that leaves next, counted from the first one
  tag_t common;

  always_comb begin
    now_found = load_begins ? '0 : found_so_far;
    pop = loading && found && now_found < wanted;
    next_found = pop ? now_found + 1 : now_found;
    for (int r = 0; r < ROWS; r++) begin
      if (!start) pixel[r] = in_use[r];
      else if (round.scanned) pixel[r] = written[r];
      else pixel[r] = INDEX_BITS'(round.slice) * INDEX_BITS'(ROWS) + INDEX_BITS'(r);
      has_pixel[r] = INDEX_BITS'(r) < round.rows;
    end
  end

  localparam int ROW_BITS = ROWS == 1 ? 1 : $clog2(ROWS);
  index_t count;
  logic [ROW_BITS-1:0] place;
  always_comb begin
    count = last_enters ? '0 : row;
    exits = last_enters || row != '0;
    place = ROW_BITS'(direct ? count : INDEX_BITS'(ROWS - 1) - count);
    exit_tag = last_enters ? tag : common;
    exit_tag.valid = last_enters ? has_pixel[place] : leaving_has[place];
    exit_tag.address = exit_tag.address + (last_enters ? pixel[place] : leaving[place]);
    // Counters run over the rows, whether they hold a pixel or not.
    if (count != '0) begin
      exit_tag.first_of_part = 1'b0;
      exit_tag.first_of_section = 1'b0;
    end
    if (count != INDEX_BITS'(ROWS - 1)) begin
      exit_tag.last_of_part = 1'b0;
      exit_tag.last_of_section = 1'b0;
      exit_tag.last_of_round = 1'b0;
    end
  end

  always_ff @(posedge clk) begin
    in_use <= pixel;
    if (pop) written[ROW_BITS'(now_found)] <= head;
    found_so_far <= next_found;
    all_found <= next_found == wanted;
    if (last_enters) begin
      leaving <= pixel;
      leaving_has <= has_pixel;
      common <= tag;
    end
    if (reset || !exits) row <= '0;
    else row <= count == INDEX_BITS'(ROWS - 1) ? '0 : count + 1;
  end

  logic unused;
  assign unused = &{1'b0, round};
endmodule
