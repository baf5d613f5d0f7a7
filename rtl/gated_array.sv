// A systolic array in column groups with its gate unit: runs the base and the conditional phase of a layer.
//
// The host writes the registers and tables of a layer while `run_in` is low, and raises it; cycle 0 is the
// cycle after that. The machine then asks for operands, which are to be there in the same cycle, hands out
// results, and says when it has finished. `reset_in` for a cycle before the next layer.
module gated_array
  import cgsim_pkg::*;
#(
    parameter int ROWS = 4,
    parameter int COLS = 4,
    parameter int GROUPS = 1,
    parameter bit OUTPUT = 1'b0,  // `os`: sums stay in the PEs; otherwise weights (`ws`) or activations (`is`)
    parameter int OPERAND_BITS = 8,
    parameter int SUM_BITS = 32,
    parameter int WINDOW = 64,  // most candidates that a scanner examines at once, a power of two
    parameter int QUEUE = 16,  // most indices that a scanner's queue may hold
    parameter int DEPTH = 1024,  // sums per column, a multiple of WINDOW
    parameter int ITEMS = 1024,  // column folds x convolution groups
    parameter int OWN = 1024,  // column folds x parts of the reduction
    parameter int PARTS = 256,  // parts of the reduction, of both phases
    parameter int THRESHOLDS = 1024,  // thresholds per column
    parameter bit GATED = 1'b1,  // 0 leaves the gate unit out: base phases only
    parameter bit BANKED = 1'b1  // banks of the activation buffer may conflict; 0 leaves the arbiter out
) (
    input logic clk,
    input logic reset_in,
    input logic run_in,
    input host_t host_in,
    // Stationary operands: a row of column fold `load_fold`, row fold `load_entry`.
    output logic [GROUPS-1:0] load,
    output logic [GROUPS-1:0] load_conditional,
    output fold_t load_fold[GROUPS],
    output fold_t load_entry[GROUPS],
    output fold_t load_row[GROUPS],
    input logic signed [OPERAND_BITS-1:0] stationary[COLS],
    // Moving operands: vector `index` of a column fold and row fold, an element per row. `os`: step `index`, with
    // the pixel of each row; `stationary` are the weights of this step then.
    output logic [GROUPS-1:0] enters,
    output logic [GROUPS-1:0] conditional,
    output fold_t fold[GROUPS],
    output fold_t entry[GROUPS],
    output index_t index[GROUPS],
    output index_t pixel[GROUPS*ROWS],
    output logic [ROWS-1:0] has_pixel[GROUPS],
    input logic signed [OPERAND_BITS-1:0] moving[GROUPS*ROWS],
    // Results: what the accumulator buffers of a group's columns hold from now on at an address.
    output logic [GROUPS-1:0] result,
    output index_t result_address[GROUPS],
    output logic signed [SUM_BITS-1:0] totals[COLS],
    output logic [COLS-1:0] gates,
    // When it happened; `seen` says which of these events there were.
    output logic finished,
    output logic [31:0] cycles,
    output logic [31:0] event_cycle[6],
    output logic [5:0] seen
);
  localparam int WIDTH = COLS / GROUPS;

  logic reset, run;
  host_t host;
  always_ff @(posedge clk) begin
    reset <= reset_in;
    run <= run_in;
    host <= host_in;
  end

  config_t cfg;
  always_ff @(posedge clk) begin
    if (host.valid && host.space == SPACE_REGISTERS) begin
      case (host.address[4:0])
        0: begin
          {cfg.overlapped, cfg.direct, cfg.lockstep, cfg.meet, cfg.gated, cfg.scanned, cfg.by_vector} <=
              host.data[6:0] & (GATED ? '1 : ~7'b0000110);
        end
        1: cfg.slots <= 16'(host.data);
        2: cfg.folds <= 16'(host.data);
        3: cfg.tail <= 16'(host.data);
        4: cfg.sections <= 16'(host.data);
        5: cfg.base_parts <= 16'(host.data);
        6: cfg.late_parts <= 16'(host.data);
        7: cfg.own_parts <= 16'(host.data);
        8: cfg.late_table <= 16'(host.data);
        9: cfg.stride <= INDEX_BITS'(host.data);
        10: cfg.need_stride <= INDEX_BITS'(host.data);
        11: cfg.vectors <= INDEX_BITS'(host.data);
        12: cfg.needed <= INDEX_BITS'(host.data);
        13: cfg.base_steps <= INDEX_BITS'(host.data);
        14: cfg.late_steps <= INDEX_BITS'(host.data);
        15: cfg.window <= INDEX_BITS'(host.data);
        16: cfg.window_cycles <= INDEX_BITS'(host.data);
        17: cfg.depth <= INDEX_BITS'(host.data);
        18: cfg.banks <= INDEX_BITS'(host.data);
        default: cfg.latency <= INDEX_BITS'(host.data);
      endcase
    end
  end

  // What the groups tell each other. In lockstep every group hears what holds for all.
  logic [2:0] take[GROUPS];
  logic [GROUPS-1:0] more, streaming, left, loaded, base_done, append, group_finished, decided, start, leaves;
  index_t chain_wait[GROUPS];
  fold_t append_fold[GROUPS], append_section[GROUPS];

  logic [2:0] any_take;
  index_t longest_wait;
  fold_t any_append_fold, any_append_section;
  always_comb begin
    any_take = '0;
    for (int g = 0; g < GROUPS; g++) any_take |= take[g];
  end
  always_comb begin
    longest_wait = '0;
    for (int g = 0; g < GROUPS; g++) begin
      if (chain_wait[g] > longest_wait) longest_wait = chain_wait[g];
    end
  end
  always_comb begin
    any_append_fold = '0;
    any_append_section = '0;
    for (int g = 0; g < GROUPS; g++) begin
      if (append[g]) begin
        any_append_fold = append_fold[g];
        any_append_section = append_section[g];
      end
    end
  end

  logic [GROUPS-1:0] ask, grant;
  index_t ask_index[GROUPS];
  logic [51:0] ask_word[GROUPS];
  if (BANKED) begin : g_banked
    arbiter #(
        .GROUPS(GROUPS)
    ) i_arbiter (
        .banks(cfg.banks),
        .ask,
        .index(ask_index),
        .word(ask_word),
        .grant
    );
  end else begin : g_ideal
    assign grant = ask;
    logic unused;
    assign unused = &{1'b0, ask_index[0], ask_word[0]};
  end

  logic [GROUPS-1:0] first, last;
  logic signed [SUM_BITS-1:0] sums[COLS];

  for (genvar g = 0; g < GROUPS; g++) begin : g_group
    column_group #(
        .ROWS(ROWS),
        .COLS(COLS),
        .GROUPS(GROUPS),
        .NUMBER(g),
        .OUTPUT(OUTPUT),
        .SUM_BITS(SUM_BITS),
        .WINDOW(WINDOW),
        .QUEUE(QUEUE),
        .DEPTH(DEPTH),
        .ITEMS(ITEMS),
        .OWN(OWN),
        .PARTS(PARTS),
        .THRESHOLDS(THRESHOLDS)
    ) i_group (
        .clk,
        .reset,
        .run,
        .cfg,
        .host,
        .take(take[g]),
        .more(more[g]),
        .streaming(streaming[g]),
        .left(left[g]),
        .loaded(loaded[g]),
        .chain_wait(chain_wait[g]),
        .base_done(base_done[g]),
        .append(append[g]),
        .append_fold(append_fold[g]),
        .append_section(append_section[g]),
        .any_take(cfg.lockstep ? any_take : take[g]),
        .any_more(cfg.lockstep ? |more : more[g]),
        .team_streaming(cfg.lockstep ? |streaming : streaming[g]),
        .team_left(cfg.lockstep ? &left : left[g]),
        .team_loaded(cfg.lockstep ? &loaded : loaded[g]),
        .team_chain_wait(cfg.lockstep ? longest_wait : chain_wait[g]),
        .team_base_done(cfg.meet ? &base_done : base_done[g]),
        .team_append(cfg.lockstep ? |append : append[g]),
        .team_append_fold(cfg.lockstep ? any_append_fold : append_fold[g]),
        .team_append_section(cfg.lockstep ? any_append_section : append_section[g]),
        .ask(ask[g]),
        .ask_index(ask_index[g]),
        .ask_word(ask_word[g]),
        .grant(grant[g]),
        .load(load[g]),
        .load_conditional(load_conditional[g]),
        .load_fold(load_fold[g]),
        .load_entry(load_entry[g]),
        .load_row(load_row[g]),
        .start(start[g]),
        .enters(enters[g]),
        .first(first[g]),
        .last(last[g]),
        .conditional(conditional[g]),
        .fold(fold[g]),
        .entry(entry[g]),
        .index(index[g]),
        .pixel(pixel[g*ROWS+:ROWS]),
        .has_pixel(has_pixel[g]),
        .sums(sums[g*WIDTH+:WIDTH]),
        .round_leaves(leaves[g]),
        .result(result[g]),
        .result_address(result_address[g]),
        .totals(totals[g*WIDTH+:WIDTH]),
        .gates(gates[g*WIDTH+:WIDTH]),
        .decided(decided[g]),
        .finished(group_finished[g])
    );
  end

  if (OUTPUT) begin : g_output
    array_output #(
        .ROWS(ROWS),
        .COLS(COLS),
        .GROUPS(GROUPS),
        .OPERAND_BITS(OPERAND_BITS),
        .SUM_BITS(SUM_BITS)
    ) i_array (
        .clk,
        .reset,
        .direct(cfg.direct),
        .enter(enters),
        .first,
        .last,
        .moving,
        .weights(stationary),
        .sums
    );
  end else begin : g_stationary
    array_stationary #(
        .ROWS(ROWS),
        .COLS(COLS),
        .GROUPS(GROUPS),
        .OPERAND_BITS(OPERAND_BITS),
        .SUM_BITS(SUM_BITS)
    ) i_array (
        .clk,
        .swap(start),
        .moving,
        .load,
        .load_row,
        .stationary,
        .sums
    );
    logic unused;
    assign unused = &{1'b0, first};
  end

  events #(
      .GROUPS(GROUPS)
  ) i_events (
      .clk,
      .reset,
      .run,
      .start,
      .conditional,
      .enters,
      .last,
      .leaves,
      .decided,
      .group_finished,
      .finished,
      .cycles,
      .event_cycle,
      .seen
  );
endmodule
