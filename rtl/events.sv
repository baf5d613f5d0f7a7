// The clock of a layer, and the cycles in which its phases begin and end.
module events #(
    parameter int GROUPS = 1
) (
    input logic clk,
    input logic reset,
    input logic run,
    input logic [GROUPS-1:0] start,
    input logic [GROUPS-1:0] conditional,
    input logic [GROUPS-1:0] enters,
    input logic [GROUPS-1:0] last,
    input logic [GROUPS-1:0] leaves,
    input logic [GROUPS-1:0] decided,
    input logic [GROUPS-1:0] group_finished,
    output logic finished,
    output logic [31:0] cycles,  // of this layer, so far
    // base: first round starts, last vector has entered; the latest decision; conditional: the same;
    // last result has left
    output logic [31:0] event_cycle[6],
    output logic [5:0] seen
);
  typedef enum int {
    BASE_START,
    BASE_END,
    DECIDED,
    CONDITIONAL_START,
    CONDITIONAL_END,
    LAST_RESULT
  } event_t;

  assign finished = run && &group_finished;

  always_ff @(posedge clk) begin
    if (run && !finished) cycles <= cycles + 1;
    if (|(start & ~conditional) && !seen[BASE_START]) begin
      event_cycle[BASE_START] <= cycles;
      seen[BASE_START] <= 1'b1;
    end
    if (|(enters & last & ~conditional)) begin
      event_cycle[BASE_END] <= cycles + 1;
      seen[BASE_END] <= 1'b1;
    end
    if (|decided) begin
      event_cycle[DECIDED] <= cycles;
      seen[DECIDED] <= 1'b1;
    end
    if (|(start & conditional) && !seen[CONDITIONAL_START]) begin
      event_cycle[CONDITIONAL_START] <= cycles;
      seen[CONDITIONAL_START] <= 1'b1;
    end
    if (|(enters & last & conditional)) begin
      event_cycle[CONDITIONAL_END] <= cycles + 1;
      seen[CONDITIONAL_END] <= 1'b1;
    end
    if (|leaves) begin
      event_cycle[LAST_RESULT] <= cycles + 1;
      seen[LAST_RESULT] <= 1'b1;
    end
    if (reset) begin
      cycles <= '0;
      seen <= '0;
    end
  end
endmodule
