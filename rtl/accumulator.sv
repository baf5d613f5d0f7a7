// The accumulator buffer of one column, with the comparator that decides the gates of its sums.
//
// What arrives in a cycle is in the buffer, compared, and its gate written, at the end of the cycle.
module accumulator
  import cgsim_pkg::*;
#(
    parameter int SUM_BITS = 32,
    parameter int DEPTH = 1024,
    parameter int THRESHOLDS = 256
) (
    input logic clk,
    input logic used,  // the column holds something
    input logic valid,
    input logic overwrite,
    input logic masked,
    input logic decides,
    input index_t address,
    input index_t threshold,
    input logic signed [SUM_BITS-1:0] sum,
    output logic signed [SUM_BITS-1:0] total,  // what the buffer then holds
    output logic gate,  // whether the output asks for its conditional part
    input logic write_threshold,
    input index_t write_address,
    input logic signed [SUM_BITS-1:0] write_data
);
  localparam int DEPTH_BITS = DEPTH == 1 ? 1 : $clog2(DEPTH);
  localparam int THRESHOLD_BITS = THRESHOLDS == 1 ? 1 : $clog2(THRESHOLDS);

  logic signed [SUM_BITS-1:0] sums[DEPTH];
  logic gates[DEPTH];
  logic signed [SUM_BITS-1:0] thresholds[THRESHOLDS];

  logic [DEPTH_BITS-1:0] at;
  logic signed [SUM_BITS-1:0] old;
  always_comb begin
    at = DEPTH_BITS'(address);
    old = overwrite ? '0 : sums[at];
    gate = decides ? used && old + sum > thresholds[THRESHOLD_BITS'(threshold)] : gates[at];
    total = masked && !gate ? old : old + sum;
  end

  always_ff @(posedge clk) begin
    if (valid) sums[at] <= total;
    if (valid && decides) gates[at] <= gate;
    if (write_threshold) thresholds[THRESHOLD_BITS'(write_address)] <= write_data;
  end

  logic unused;  // the upper bits of addresses, where the buffer is smaller
  assign unused = &{1'b0, address, threshold, write_address};
endmodule
