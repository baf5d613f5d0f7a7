// Array whose PEs hold sums (`os`): rows are pixels, columns output channels.
//
// A reduction step enters with an activation per row, row r after r cycles, and a weight per column, column c
// after c cycles; activations move to the right, weights down. A PE adds their product to its sum, which the
// first step starts anew. With the last step the sum is finished and waits in a register beside the PE: the
// registers of a column are a chain. When the last row has finished, the sums of the fold move down and
// out, a row per cycle, the last row first; those of the next fold, which may enter the chain behind
// them, stay until it is their turn. Last steps must be ROWS cycles apart.
//
// `sums` are the results of a row, aligned over the columns of the whole array: of row r
// 2 * ROWS + COLS - 2 - r cycles after the last step entered. With `direct` (SCALE-Sim's convention) finished
// sums do not wait: of row r after r + COLS - 1 cycles; last steps must then be ROWS + COLS - 1 cycles apart.
module array_output #(
    parameter int ROWS = 4,
    parameter int COLS = 4,
    parameter int GROUPS = 1,
    parameter int OPERAND_BITS = 8,
    parameter int SUM_BITS = 32
) (
    input logic clk,
    input logic reset,
    input logic direct,
    input logic [GROUPS-1:0] enter,
    input logic [GROUPS-1:0] first,
    input logic [GROUPS-1:0] last,
    input logic signed [OPERAND_BITS-1:0] moving[GROUPS*ROWS],
    input logic signed [OPERAND_BITS-1:0] weights[COLS],
    output logic signed [SUM_BITS-1:0] sums[COLS]
);
  localparam int WIDTH = COLS / GROUPS;
  localparam int DIAGONALS = ROWS + WIDTH - 1;

  typedef logic signed [OPERAND_BITS-1:0] operand_t;
  typedef logic signed [SUM_BITS-1:0] sum_t;

  // The processing element: one product, one sum.
  function automatic sum_t multiply_add(sum_t so_far, operand_t left, operand_t above);
    return so_far + SUM_BITS'(left) * SUM_BITS'(above);
  endfunction

  operand_t right[ROWS*COLS];  // for the right neighbour
  operand_t down[ROWS*COLS];  // for the PE below
  sum_t total[ROWS*COLS];
  sum_t chain[ROWS*COLS];
  logic [ROWS-1:0] moves[COLS];  // the fold of this register of the chain is on its way out

  // What a step is travels along with it: by the diagonal r + c that it has reached.
  logic [DIAGONALS-1:0] was_step[GROUPS], was_first[GROUPS], was_last[GROUPS];
  logic [DIAGONALS-1:0] is_step[GROUPS], is_first[GROUPS], is_last[GROUPS];

  // Lines in which something waits for its row or column: what entered d cycles ago stands at (now - d). Each is
  // a memory of its own with one reader, and holds what the groups have in it side by side.
  localparam int ROW_BITS = ROWS == 1 ? 1 : $clog2(ROWS);
  localparam int COLUMN_BITS = WIDTH == 1 ? 1 : $clog2(WIDTH);
  localparam int EXIT_BITS = COLS == 1 ? 1 : $clog2(COLS);
  bit [ROW_BITS-1:0] row_at;
  bit [COLUMN_BITS-1:0] column_at;
  bit [EXIT_BITS-1:0] exit_at;
  sum_t exits[COLS];  // what left the last row
  operand_t from_left[GROUPS*ROWS];
  operand_t from_top[COLS];

  function automatic int ago(int now, int age, int size);
    return now >= age ? now - age : now + size - age;
  endfunction

  always_comb begin
    for (int g = 0; g < GROUPS; g++) begin
      is_step[g]  = DIAGONALS'({was_step[g], enter[g]});
      is_first[g] = DIAGONALS'({was_first[g], enter[g] & first[g]});
      is_last[g]  = DIAGONALS'({was_last[g], enter[g] & last[g]});
    end
  end

  for (genvar r = 0; r < ROWS; r++) begin : g_row
    if (r == 0) begin : g_first
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign from_left[g*ROWS] = moving[g*ROWS];
      end
    end else begin : g_later
      (* ram_style = "distributed" *)
      logic [GROUPS-1:0][OPERAND_BITS-1:0] line[ROWS];
      logic [GROUPS-1:0][OPERAND_BITS-1:0] word;
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign word[g] = moving[g*ROWS+r];
        assign from_left[g*ROWS+r] = line[ROW_BITS'(ago(int'(row_at), r, ROWS))][g];
      end
      always_ff @(posedge clk) line[row_at] <= word;
    end
  end

  for (genvar c = 0; c < WIDTH; c++) begin : g_column
    if (c == 0) begin : g_first
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign from_top[g*WIDTH] = weights[g*WIDTH];
      end
    end else begin : g_later
      (* ram_style = "distributed" *)
      logic [GROUPS-1:0][OPERAND_BITS-1:0] line[WIDTH];
      logic [GROUPS-1:0][OPERAND_BITS-1:0] word;
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign word[g] = weights[g*WIDTH+c];
        assign from_top[g*WIDTH+c] = line[COLUMN_BITS'(ago(int'(column_at), c, WIDTH))][g];
      end
      always_ff @(posedge clk) line[column_at] <= word;
    end
  end

  // The last column of an undivided array has no exit register: its sums leave as they are made.
  // At most one row of a column finishes in a cycle, so a bus per column is enough for `direct`.
  sum_t corner;
  if (GROUPS == 1) begin : g_corner
    always_comb begin
      corner = chain[ROWS*COLS-1];
      if (direct) begin
        for (int r = 0; r < ROWS; r++) begin
          if (is_last[0][r+WIDTH-1]) begin
            corner = multiply_add(
                is_first[0][r+WIDTH-1] ? '0 : total[r*COLS+COLS-1],
                COLS == 1 ? from_left[r] : right[COLS==1?0 : r*COLS+COLS-2],
                r == 0 ? from_top[COLS-1] : down[r==0?0 : (r-1)*COLS+COLS-1]
            );
          end
        end
      end
    end
  end else begin : g_no_corner
    assign corner = '0;
    logic unused;
    assign unused = &{1'b0, corner};
  end

  for (genvar c = 0; c < WIDTH; c++) begin : g_exit
    if (c == COLS - 1) begin : g_last
      assign sums[c] = corner;
      logic unused;
      assign unused = &{1'b0, exits[c]};
    end else if (c == COLS - 2) begin : g_last_but_one
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign sums[g*WIDTH+c] = exits[g*WIDTH+c];
      end
    end else begin : g_earlier
      (* ram_style = "distributed" *)
      logic [GROUPS-1:0][SUM_BITS-1:0] line[COLS];
      logic [GROUPS-1:0][SUM_BITS-1:0] word;
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign word[g] = exits[g*WIDTH+c];
        assign sums[g*WIDTH+c] = line[EXIT_BITS'(ago(int'(exit_at), COLS - 2 - c, COLS))][g];
      end
      always_ff @(posedge clk) line[exit_at] <= word;
    end
  end

  always_ff @(posedge clk) begin
    operand_t next_right[ROWS*COLS];
    operand_t next_down[ROWS*COLS];
    sum_t next_total[ROWS*COLS];
    sum_t next_chain[ROWS*COLS];
    logic [ROWS-1:0] next_moves[COLS];
    sum_t next_exits[COLS];
    for (int unsigned at = 0; at < ROWS * COLS; at++) begin
      next_right[at] = right[at==0?0 : at-1];
    end
    for (int g = 0; g < GROUPS; g++) begin
      for (int r = 0; r < ROWS; r++) next_right[r*COLS+g*WIDTH] = from_left[g*ROWS+r];
    end
    for (int unsigned at = 0; at < COLS; at++) next_down[at] = from_top[at];
    for (int unsigned at = COLS; at < ROWS * COLS; at++) next_down[at] = down[at-COLS];
    // Few diagonals begin or end a fold at a time, so these are looked for only where there are any.
    next_total = total;
    for (int g = 0; g < GROUPS; g++) begin
      if (is_first[g] != '0) begin
        for (int r = 0; r < ROWS; r++) begin
          for (int c = 0; c < WIDTH; c++) begin
            if (is_first[g][r+c]) next_total[r*COLS+g*WIDTH+c] = '0;
          end
        end
      end
    end
    for (int g = 0; g < GROUPS; g++) begin
      if (is_step[g] != '0) begin
        for (int r = 0; r < ROWS; r++) begin
          for (int c = 0; c < WIDTH; c++) begin
            if (is_step[g][r+c]) begin
              next_total[r*COLS+g*WIDTH+c] = multiply_add(
                  next_total[r*COLS+g*WIDTH+c], next_right[r*COLS+g*WIDTH+c], next_down[r*COLS+g*WIDTH+c]
              );
            end
          end
        end
      end
    end
    // The chain: what moves makes way for the sums of the next fold, which stay until its last row has finished.
    next_chain = chain;
    for (int c = 0; c < COLS; c++) begin
      next_exits[c] = chain[(ROWS-1)*COLS+c];
      next_moves[c] = ROWS'({moves[c], 1'b0});
      if (moves[c] != '0) begin
        for (int r = 1; r < ROWS; r++) begin
          if (moves[c][r-1]) next_chain[r*COLS+c] = chain[(r==0?0 : r-1)*COLS+c];
        end
      end
    end
    for (int g = 0; g < GROUPS; g++) begin
      if (is_last[g] != '0) begin
        for (int r = 0; r < ROWS; r++) begin
          for (int c = 0; c < WIDTH; c++) begin
            if (is_last[g][r+c]) begin
              next_chain[r*COLS+g*WIDTH+c] = next_total[r*COLS+g*WIDTH+c];
              if (direct) next_exits[g*WIDTH+c] = next_total[r*COLS+g*WIDTH+c];
              if (r == ROWS - 1) next_moves[g*WIDTH+c] = '1;
            end
          end
        end
      end
    end
    right <= next_right;
    down <= next_down;
    total <= next_total;
    chain <= next_chain;
    moves <= reset ? '{default: '0} : next_moves;
    was_step <= is_step;
    was_first <= is_first;
    was_last <= is_last;
    exits <= next_exits;
    row_at <= int'(row_at) == ROWS - 1 ? '0 : row_at + 1'b1;
    column_at <= int'(column_at) == WIDTH - 1 ? '0 : column_at + 1'b1;
    exit_at <= int'(exit_at) == COLS - 1 ? '0 : exit_at + 1'b1;
  end
endmodule
