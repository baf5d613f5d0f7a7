// What goes in comes out CYCLES cycles later; nothing is valid that went in before a reset.
//
// A ring of memory instead of a row of registers: only one word changes per cycle.
module delay #(
    parameter int CYCLES = 1,
    parameter int BITS = 8
) (
    input logic clk,
    input logic reset,
    input logic valid,
    input logic [BITS-1:0] data,
    output logic valid_out,
    output logic [BITS-1:0] data_out
);
  if (CYCLES == 0) begin : g_wire
    assign {valid_out, data_out} = {valid, data};
    logic unused;
    assign unused = &{1'b0, clk, reset};
  end else begin : g_ring
    localparam int NOW_BITS = CYCLES == 1 ? 1 : $clog2(CYCLES);
    bit [NOW_BITS-1:0] now;
    (* ram_style = "distributed" *)
    (* ram_style = "distributed" *)
    logic [BITS-1:0] ring[CYCLES];
    logic [CYCLES-1:0] valids;
    assign valid_out = valids[now];
    assign data_out = ring[now];
    always_ff @(posedge clk) begin
      ring[now] <= data;
      if (reset) valids <= '0;
      else valids[now] <= valid;
      now <= int'(now) == CYCLES - 1 ? '0 : now + 1'b1;
    end
  end
endmodule
