// When a column group loads, starts and streams its rounds, and when its base phase turns into the conditional one.
//
// In lockstep all groups have the same rounds and move together; otherwise each waits only for itself. What
// the others do comes in through the `team_` inputs; without lockstep they are this group's own.
//
// Rounds: the load of the next one begins when this one has started (overlapped) or when all its results have
// left; the next one starts when it is loaded and the last vector of this one has entered.
module sequencer
  import cgsim_pkg::*;
#(
    parameter int ROWS = 4,
    parameter bit OUTPUT = 1'b0  // `os`
) (
    input logic clk,
    input logic reset,
    input logic run,  // the clock of the layer runs
    input config_t cfg,
    // Rounds, from the walker.
    input logic there_is,
    input logic base_more,
    input round_t next,
    output logic late,
    output logic begin_late,
    output logic advance,
    // What this group tells its team, and what it hears from it.
    output logic streaming,
    output logic left,  // everything that entered has left
    output logic loaded,
    output index_t chain_wait,  // cycles until a fold's last step finds the drain chain free
    output logic base_done,
    input logic team_streaming,
    input logic team_left,
    input logic team_loaded,
    input index_t team_chain_wait,
    input logic team_base_done,
    // The load.
    output logic load_begins,
    output logic loading,
    output round_t load_round,
    output fold_t load_row,
    input logic rows_found,  // `os`: the pixels of all rows of the pending round have been found
    // The stream.
    output logic start,
    output logic active,  // a vector or step may enter
    output round_t stream_round,
    output index_t position,
    output logic last,  // it is the round's last
    output logic may_enter,  // `os`: the chain is free, or this is not the last step
    input logic enters,
    input logic leaves,  // a vector's result, or the last row of a fold
    output logic finished
);
  logic is_late;
  index_t waited;  // cycles since the base phase was done
  logic is_pending;  // a round is being loaded, or waits for its start
  round_t pending, current;
  fold_t written;  // rows that have been loaded, or cycles of loading
  logic is_streaming;
  index_t entered;
  index_t in_flight;
  index_t chain, hold;

  // The decision.
  assign left = in_flight == '0 && !is_streaming;
  assign base_done = !is_late && !base_more && !is_pending && left;
  assign begin_late = run && cfg.gated && team_base_done && waited == cfg.latency;
  assign late = is_late || begin_late || cfg.scanned;
  assign finished = !is_pending && left && (late ? !there_is : !cfg.gated && !base_more);

  // Loads and starts. The sums of consecutive pixels (`os`, base phase) need no load.
  logic loads, may_load;
  assign loads = !OUTPUT || late;
  assign loaded = !pending.take || (written == 16'(ROWS) && (!OUTPUT || rows_found));
  assign streaming = is_streaming;
  assign chain_wait = chain;
  always_comb begin
    if (loads) start = run && is_pending && team_loaded && !team_streaming;
    else start = run && there_is && !team_streaming && (cfg.overlapped || team_left);
    may_load = cfg.overlapped ? !is_pending || start : !is_pending && team_left;
    load_begins = run && loads && there_is && may_load;
    advance = loads ? load_begins : start;
    load_round = load_begins ? next : pending;
    load_row = load_begins ? '0 : written;
    loading = load_round.take && (load_begins || (run && is_pending && !start && !loaded));
  end

  // The stream.
  index_t now_hold;
  always_comb begin
    stream_round = !start ? current : loads ? pending : next;
    active = run && (start ? stream_round.take : is_streaming);
    position = start ? '0 : entered;
    last = position + 1 == stream_round.length;
    now_hold = start ? team_chain_wait : hold;
    may_enter = !last || cfg.direct || now_hold == '0;
  end

  always_ff @(posedge clk) begin
    if (load_begins) begin
      pending <= next;
      is_pending <= 1'b1;
    end else if (start) begin
      is_pending <= 1'b0;
    end
    if (load_begins || (is_pending && written != 16'(ROWS))) written <= load_row + 1;
    if (start) current <= stream_round;
    is_streaming <= active && !(enters && last);
    entered <= enters ? position + 1 : position;
    in_flight <= in_flight + INDEX_BITS'(enters && (last || !OUTPUT)) - INDEX_BITS'(leaves);
    if (begin_late) is_late <= 1'b1;
    if (run && team_base_done && !late) waited <= waited + 1;
    // Rounds before this one may occupy the chain until ROWS cycles after their last step.
    if (enters && last) chain <= INDEX_BITS'(ROWS - 1);
    else if (chain != '0) chain <= chain - 1;
    hold <= now_hold == '0 ? '0 : now_hold - 1;
    if (reset) begin
      is_pending <= 1'b0;
      is_streaming <= 1'b0;
      is_late <= 1'b0;
      in_flight <= '0;
      waited <= '0;
      written <= '0;
      chain <= '0;
      hold <= '0;
    end
  end

  logic unused;  // most of the configuration
  assign unused = &{1'b0, cfg};
endmodule
