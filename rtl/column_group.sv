// All that belongs to one column group beside its PEs: sequencer, scanner, accumulators, decisions.
module column_group
  import cgsim_pkg::*;
#(
    parameter int ROWS = 4,
    parameter int COLS = 4,  // of the whole array
    parameter int GROUPS = 1,
    parameter int NUMBER = 0,  // of this group
    parameter bit OUTPUT = 1'b0,  // `os`
    parameter int SUM_BITS = 32,
    parameter int WINDOW = 64,
    parameter int QUEUE = 16,
    parameter int DEPTH = 1024,
    parameter int ITEMS = 1024,
    parameter int OWN = 1024,
    parameter int PARTS = 256,
    parameter int THRESHOLDS = 1024
) (
    input logic clk,
    input logic reset,
    input logic run,
    input config_t cfg,
    input host_t host,
    // The team: what this group says, and what the groups it moves with say.
    output logic [2:0] take,
    output logic more,
    output logic streaming,
    output logic left,
    output logic loaded,
    output index_t chain_wait,
    output logic base_done,
    output logic append,
    output fold_t append_fold,
    output fold_t append_section,
    input logic [2:0] any_take,
    input logic any_more,
    input logic team_streaming,
    input logic team_left,
    input logic team_loaded,
    input index_t team_chain_wait,
    input logic team_base_done,
    input logic team_append,
    input fold_t team_append_fold,
    input fold_t team_append_section,
    // What it wants from the banks of the activation buffer.
    output logic ask,
    output index_t ask_index,
    output logic [51:0] ask_word,
    input logic grant,
    // The load of stationary operands.
    output logic load,
    output logic load_conditional,
    output fold_t load_fold,
    output fold_t load_entry,
    output fold_t load_row,
    // The stream.
    output logic start,  // a round starts in which the group takes part
    output logic enters,
    output logic first,
    output logic last,
    output logic conditional,
    output fold_t fold,
    output fold_t entry,
    output index_t index,  // vector or step that enters
    output index_t pixel[ROWS],
    output logic [ROWS-1:0] has_pixel,
    // Results.
    input logic signed [SUM_BITS-1:0] sums[COLS/GROUPS],
    output logic round_leaves,  // a vector's results, or the last row of a fold, whether it holds a pixel or not
    output logic result,
    output index_t result_address,
    output logic signed [SUM_BITS-1:0] totals[COLS/GROUPS],
    output logic [COLS/GROUPS-1:0] gates,
    output logic decided,  // the conditional phase begins
    output logic finished
);
  localparam int WIDTH = COLS / GROUPS;
  localparam int TAG_BITS = $bits(tag_t);
  localparam int FOLD_BITS = THRESHOLDS == 1 ? 1 : $clog2(THRESHOLDS);

  round_t next, load_round, round;
  logic there_is, base_more, late, advance, starts;
  index_t total_address[3], own_address[3], total[3], own[3];

  walker #(
      .ROWS(ROWS),
      .GROUPS(GROUPS),
      .NUMBER(NUMBER),
      .OUTPUT(OUTPUT),
      .ITEMS(ITEMS),
      .PARTS(PARTS)
  ) i_walker (
      .append(team_append),
      .append_fold(team_append_fold),
      .append_section(team_append_section),
      .begin_late(decided),
      .*
  );

  logic load_begins, rows_found, active, may_enter, leaves;
  index_t position;

  sequencer #(
      .ROWS(ROWS),
      .OUTPUT(OUTPUT)
  ) i_sequencer (
      .begin_late(decided),
      .loading(load),
      .rows_found,
      .start(starts),
      .stream_round(round),
      .leaves(round_leaves),
      .*
  );

  assign load_conditional = load_round.conditional;
  assign load_fold = load_round.fold;
  assign load_entry = load_round.entry;
  assign start = starts && round.take;
  assign first = position == '0;
  assign conditional = round.conditional;
  assign fold = round.fold;
  assign entry = round.entry;

  // The scanner runs with the stream (`ws`, `is`), or with the load, where it goes on from row tile to row
  // tile (`os`).
  logic found, scan, pop;
  index_t head;
  index_t read_address[2];
  logic [WINDOW-1:0] read[2];
  index_t need;
  part_t candidates;
  assign need = OUTPUT ? load_round.need : round.need;
  assign candidates = OUTPUT ? load_round.part : round.part;
  assign scan = OUTPUT ? load : active && round.scanned;

  scanner #(
      .WINDOW(WINDOW),
      .QUEUE(QUEUE)
  ) i_scanner (
      .clk,
      .window(cfg.window),
      .window_cycles(cfg.window_cycles),
      .depth(cfg.depth),
      .run(scan),
      .restart(OUTPUT ? load_begins && load_round.slice == '0 : starts),
      .need,
      .first(candidates.first),
      .count(candidates.count),
      .skip_from(candidates.skip_from),
      .skip(candidates.skip),
      .read_address,
      .read,
      .found,
      .head,
      .pop
  );

  // A word of the activation buffer: that of a block of channels, or for packed pixels of a slot alone.
  fold_t blocks[THRESHOLDS];
  fold_t home;
  always_ff @(posedge clk) begin
    if (host.valid && host.space == SPACE_BLOCKS && host.address[15:0] == 16'(NUMBER)) begin
      blocks[FOLD_BITS'(host.address>>16)] <= 16'(host.data);
    end
  end
  assign home = OUTPUT && round.scanned ? round.fold * 16'(GROUPS) + 16'(NUMBER) : blocks[FOLD_BITS'(round.fold)];
  assign ask_word = {home, round.slice, index};
  assign ask_index = index;
  assign enters = ask && grant;

  // What accompanies a vector, or the sums of a fold, to the exit.
  tag_t tag, exit_tag;
  always_comb begin
    tag = '0;
    tag.valid = 1'b1;
    tag.overwrite = round.overwrite;
    tag.masked = late && !cfg.scanned;
    tag.decides = cfg.gated && !late && (round.last_slice || OUTPUT);
    tag.first_of_part = OUTPUT ? round.slice == '0 : first;
    tag.first_of_section = tag.first_of_part && round.first_part;
    tag.last_of_part = last && (round.last_slice || !OUTPUT);
    tag.last_of_section = tag.last_of_part && round.last_part;
    tag.last_of_round = last;
    tag.last_slot = round.fold * 16'(GROUPS) + 16'(NUMBER) + 1 == cfg.slots;
    tag.address = round.address + (OUTPUT ? '0 : index);
    tag.threshold = cfg.by_vector ? index : INDEX_BITS'(round.fold);
  end

  if (OUTPUT) begin : g_output
    // Every step has to be read, and each row has its pixel.
    assign index = position;
    assign ask = active && may_enter;

    logic exits, drained;
    tag_t row_tag, drained_tag;
    rows #(
        .ROWS(ROWS)
    ) i_rows (
        .clk,
        .reset,
        .direct(cfg.direct),
        .load_begins,
        .loading(load),
        .wanted(load_round.rows),
        .found,
        .head,
        .pop,
        .all_found(rows_found),
        .start(starts),
        .round,
        .pixel,
        .has_pixel,
        .last_enters(enters && last),
        .tag,
        .exits,
        .exit_tag(row_tag)
    );
    // The way through the drain chain takes as long as there are rows, for whichever row.
    delay #(
        .CYCLES(ROWS),
        .BITS(TAG_BITS)
    ) i_drain (
        .clk,
        .reset,
        .valid(exits && !cfg.direct),
        .data(row_tag),
        .valid_out(drained),
        .data_out(drained_tag)
    );
    delay #(
        .CYCLES(COLS - 1),
        .BITS(TAG_BITS)
    ) i_exit (
        .clk,
        .reset,
        .valid(cfg.direct ? exits : drained),
        .data(cfg.direct ? row_tag : drained_tag),
        .valid_out(leaves),
        .data_out(exit_tag)
    );
    assign round_leaves = leaves && exit_tag.last_of_round;
  end else begin : g_stationary
    assign index = round.scanned ? head : round.part.first + position;
    assign ask = active && (found || !round.scanned);
    assign pop = enters && round.scanned;
    assign rows_found = 1'b1;
    for (genvar r = 0; r < ROWS; r++) begin : g_row
      assign pixel[r] = '0;
    end
    assign has_pixel = '0;
    delay #(
        .CYCLES(ROWS + COLS - 2),
        .BITS(TAG_BITS)
    ) i_exit (
        .clk,
        .reset,
        .valid(enters),
        .data(tag),
        .valid_out(leaves),
        .data_out(exit_tag)
    );
    assign round_leaves = leaves;
    logic unused_here;
    assign unused_here = &{1'b0, load_begins, may_enter, exit_tag.last_of_round};
  end

  logic unused;  // what only the other kind of array looks at
  assign unused = &{1'b0, load_round, round, candidates, pop};

  assign result = leaves && exit_tag.valid;
  assign result_address = exit_tag.address;
  for (genvar c = 0; c < WIDTH; c++) begin : g_column
    localparam int COLUMN = NUMBER * WIDTH + c;
    accumulator #(
        .SUM_BITS(SUM_BITS),
        .DEPTH(DEPTH),
        .THRESHOLDS(THRESHOLDS)
    ) i_accumulator (
        .clk,
        .used(!exit_tag.last_slot || 16'(c) < cfg.tail),
        .valid(result),
        .overwrite(exit_tag.overwrite),
        .masked(exit_tag.masked),
        .decides(exit_tag.decides),
        .address(exit_tag.address),
        .threshold(exit_tag.threshold),
        .sum(sums[c]),
        .total(totals[c]),
        .gate(gates[c]),
        .write_threshold(
            host.valid && host.space == SPACE_THRESHOLDS && host.address[15:0] inside {16'(COLUMN), 16'hffff}
        ),
        .write_address(INDEX_BITS'(host.address[31:16])),
        .write_data(SUM_BITS'(host.data))
    );
  end

  decisions #(
      .WINDOW(WINDOW),
      .DEPTH(DEPTH),
      .ITEMS(ITEMS),
      .OWN(OWN)
  ) i_decisions (
      .sections(cfg.sections),
      .tag(exit_tag),
      .any_gate(|gates),
      .write(host.valid && host.space == SPACE_NEED),
      .write_address(INDEX_BITS'(host.address)),
      .write_data(host.data[0]),
      .*
  );
endmodule
