// Gate unit of a column group, behind its accumulators: which vectors the conditional phase needs, and how many.
//
// A vector is needed if the gate of any column is on. Needed vectors are counted per column fold and section
// (convolution group), and per part of it, as the base results leave. All of it is there one cycle after.
module decisions
  import cgsim_pkg::*;
#(
    parameter int WINDOW = 64,  // need bits in a word, a power of two
    parameter int DEPTH = 1024,  // need bits
    parameter int ITEMS = 1024,  // column folds x sections
    parameter int OWN = 1024  // column folds x sections x parts
) (
    input logic clk,
    input logic reset,
    input fold_t sections,
    input logic leaves,  // a result, or the place of one, is leaving
    input tag_t tag,
    input logic any_gate,
    // Need bits: written by the host (gates of pixels), read by the scanner.
    input logic write,
    input index_t write_address,
    input logic write_data,
    input index_t read_address[2],
    output logic [WINDOW-1:0] read[2],
    // Needed vectors of a fold and section, and of a part of it.
    input index_t total_address[3],
    input index_t own_address[3],
    output index_t total[3],
    output index_t own[3],
    // A column fold and section has been decided and needs something.
    output logic append,
    output fold_t append_fold,
    output fold_t append_section
);
  localparam int ROWS = DEPTH / WINDOW;
  localparam int ROW_BITS = ROWS == 1 ? 1 : $clog2(ROWS);
  localparam int BIT_BITS = $clog2(WINDOW);
  localparam int ITEM_BITS = ITEMS == 1 ? 1 : $clog2(ITEMS);
  localparam int OWN_BITS = OWN == 1 ? 1 : $clog2(OWN);

  logic [WINDOW-1:0] bits[ROWS];
  index_t totals[ITEMS];
  index_t owns[OWN];

  // Which fold, section and part the results belong to that are leaving: the same order as they entered in.
  fold_t fold, section;
  index_t item, part;
  index_t total_so_far, own_so_far;

  logic need;
  index_t now_total, now_own;
  always_comb begin
    need = leaves && tag.valid && any_gate;
    now_total = (tag.first_of_section ? '0 : total_so_far) + INDEX_BITS'(need);
    now_own = (tag.first_of_part ? '0 : own_so_far) + INDEX_BITS'(need);
    append = leaves && tag.decides && tag.last_of_section && now_total != '0;
    append_fold = fold;
    append_section = section;
  end

  always_comb begin
    for (int i = 0; i < 3; i++) begin
      total[i] = totals[ITEM_BITS'(total_address[i])];
      own[i]   = owns[OWN_BITS'(own_address[i])];
    end
  end

  logic write_need;
  index_t need_address;
  assign write_need = write || (leaves && tag.valid && tag.decides);
  assign need_address = write ? write_address : tag.address;

  always_ff @(posedge clk) begin
    if (write_need) begin
      bits[ROW_BITS'(need_address>>BIT_BITS)][BIT_BITS'(need_address)] <= write ? write_data : need;
    end
    if (leaves && tag.decides) begin
      total_so_far <= now_total;
      own_so_far   <= now_own;
      if (tag.last_of_part) begin
        owns[OWN_BITS'(part)] <= now_own;
        part <= part + 1;
      end
      if (tag.last_of_section) begin
        totals[ITEM_BITS'(item)] <= now_total;
        item <= item + 1;
        section <= section + 1 == sections ? '0 : section + 1;
        if (section + 1 == sections) fold <= fold + 1;
      end
    end
    if (reset) begin
      fold <= '0;
      section <= '0;
      item <= '0;
      part <= '0;
    end
  end

  // A window may begin anywhere: two neighbouring words, shifted.
  always_comb begin
    for (int i = 0; i < 2; i++) begin
      automatic logic [ROW_BITS-1:0] word = ROW_BITS'(read_address[i] >> BIT_BITS);
      automatic logic [ROW_BITS-1:0] next_word = word + 1'b1;
      read[i] = WINDOW'({bits[next_word], bits[word]} >> BIT_BITS'(read_address[i]));
    end
  end

  logic unused;
  assign unused = &{1'b0, tag, read_address[0], read_address[1], need_address, item, part,
      total_address[0], total_address[1], total_address[2],
      own_address[0], own_address[1], own_address[2]};
endmodule
