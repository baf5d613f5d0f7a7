// A lane of a vector unit as cgsim.hardware.fpga counts it: an int32 sum becomes an int8 activation. Bias, scale (the
// fixed-point multiplication of integer inference, Jacob et al., CVPR 2018, section 2.2), shift, residual, ReLU,
// saturation; a register behind each of the four steps. Read by Yosys as it is.
module vector_lane (
    input wire clk,
    input wire signed [31:0] sum,
    input wire signed [31:0] bias,
    input wire signed [15:0] scale,
    input wire [4:0] shift,
    input wire signed [7:0] residual,
    input wire relu,
    output reg signed [7:0] activation
);
  reg signed [31:0] biased;
  reg signed [47:0] scaled;
  reg signed [16:0] added;
  wire signed [47:0] shifted = scaled >>> (6'd16 + shift);
  wire signed [15:0] narrow = shifted > 48'sd32767 ? 16'sd32767 : shifted < -48'sd32768 ? -16'sd32768 : shifted[15:0];
  always @(posedge clk) begin
    biased <= sum + bias;
    scaled <= biased * scale;
    added <= narrow + residual;
    if (added > 17'sd127) activation <= 8'sd127;
    else if (added < (relu ? 17'sd0 : -17'sd128)) activation <= relu ? 8'sd0 : -8'sd128;
    else activation <= added[7:0];
  end
endmodule
