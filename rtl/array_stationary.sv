// Array whose PEs hold an operand: weights (`ws`) or activations (`is`); the other operand moves.
//
// A vector enters on the left of a column group, its element r in row r, r cycles later than row 0. Each PE
// multiplies what its left neighbour held with its operand and adds what the PE above it held. The results of
// a vector leave the last row one column after the other; registers at the exit of each column make them
// leave together, and, however the columns are grouped, as late as the last column of the whole array:
// `sums` are those of the vector that entered ROWS + COLS - 2 cycles ago.
//
// A second (shadow) operand per PE is written while the first is in use, a row per cycle, each column one
// cycle after its left neighbour. `swap`, a token that travels like a vector, makes the PEs take it over:
// whatever enters with or after the token meets the new operand.
//
// Plain loops, as Verilator turns these into loops; a synthesiser unrolls them.
module array_stationary #(
    parameter int ROWS = 4,
    parameter int COLS = 4,
    parameter int GROUPS = 1,
    parameter int OPERAND_BITS = 8,
    parameter int SUM_BITS = 32
) (
    input logic clk,
    input logic [GROUPS-1:0] swap,
    input logic signed [OPERAND_BITS-1:0] moving[GROUPS*ROWS],
    input logic [GROUPS-1:0] load,
    input logic [15:0] load_row[GROUPS],
    input logic signed [OPERAND_BITS-1:0] stationary[COLS],
    output logic signed [SUM_BITS-1:0] sums[COLS]
);
  localparam int WIDTH = COLS / GROUPS;
  localparam int DIAGONALS = ROWS + WIDTH - 1;
  localparam int STRIDE = 1 << $clog2(COLS);

  typedef logic signed [OPERAND_BITS-1:0] operand_t;
  typedef logic signed [SUM_BITS-1:0] sum_t;

  // The processing element: one product, one sum.
  function automatic sum_t multiply_add(sum_t above, operand_t left, operand_t held);
    return above + SUM_BITS'(left) * SUM_BITS'(held);
  endfunction

  operand_t passing[ROWS*COLS];  // for the right neighbour
  operand_t held[ROWS*COLS];
  operand_t shadow[ROWS*STRIDE];  // the rows begin at powers of two: they are found without a multiplication
  sum_t partial[ROWS*COLS];  // for the PE below

  // Lines in which something waits for its row or column: what entered d cycles ago stands at (now - d). Each is
  // a memory of its own with one reader, and holds what the groups have in it side by side.
  localparam int ROW_BITS = ROWS == 1 ? 1 : $clog2(ROWS);
  localparam int COLUMN_BITS = WIDTH == 1 ? 1 : $clog2(WIDTH);
  localparam int EXIT_BITS = COLS == 1 ? 1 : $clog2(COLS);
  bit [ROW_BITS-1:0] row_at;
  bit [COLUMN_BITS-1:0] column_at;
  bit [EXIT_BITS-1:0] exit_at;
  typedef struct packed {
    logic write;
    logic [ROW_BITS-1:0] row;
    operand_t operand;
  } load_t;
  operand_t entering[GROUPS*ROWS];
  load_t loading[COLS];
  logic [DIAGONALS-1:0] swapped[GROUPS];  // tokens, by the diagonal r + c that they have reached
  logic [DIAGONALS-1:0] token[GROUPS];  // with the one that enters now

  function automatic int ago(int now, int age, int size);
    return now >= age ? now - age : now + size - age;
  endfunction

  always_comb begin
    for (int g = 0; g < GROUPS; g++) token[g] = DIAGONALS'({swapped[g], swap[g]});
  end

  for (genvar r = 0; r < ROWS; r++) begin : g_row
    if (r == 0) begin : g_first
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign entering[g*ROWS] = moving[g*ROWS];
      end
    end else begin : g_later
      (* ram_style = "distributed" *)
      logic [GROUPS-1:0][OPERAND_BITS-1:0] line[ROWS];
      logic [GROUPS-1:0][OPERAND_BITS-1:0] word;
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign word[g] = moving[g*ROWS+r];
        assign entering[g*ROWS+r] = line[ROW_BITS'(ago(int'(row_at), r, ROWS))][g];
      end
      always_ff @(posedge clk) line[row_at] <= word;
    end
  end

  for (genvar c = 0; c < WIDTH; c++) begin : g_column
    if (c == 0) begin : g_first
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign loading[g*WIDTH] = '{load[g], ROW_BITS'(load_row[g]), stationary[g*WIDTH]};
      end
    end else begin : g_later
      (* ram_style = "distributed" *)
      load_t [GROUPS-1:0] line[WIDTH];
      load_t [GROUPS-1:0] word;
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign word[g] = '{load[g], ROW_BITS'(load_row[g]), stationary[g*WIDTH+c]};
        assign loading[g*WIDTH+c] = line[COLUMN_BITS'(ago(int'(column_at), c, WIDTH))][g];
      end
      always_ff @(posedge clk) line[column_at] <= word;
    end
  end

  // The last column of an undivided array has no exit register: its last PE's sum leaves as it is made.
  localparam int LAST = ROWS * COLS - 1;
  sum_t corner;
  if (GROUPS == 1) begin : g_corner
    assign corner = multiply_add(
        ROWS == 1 ? '0 : partial[ROWS==1?0 : LAST-COLS],
        COLS == 1 ? entering[ROWS-1] : passing[COLS==1?0 : LAST-1],
        token[0][DIAGONALS-1] ? shadow[(ROWS-1)*STRIDE+COLS-1] : held[LAST]
    );
  end else begin : g_no_corner
    assign corner = '0;
    logic unused;
    assign unused = &{1'b0, corner};
  end

  for (genvar c = 0; c < WIDTH; c++) begin : g_exit
    if (c == COLS - 1) begin : g_last
      assign sums[c] = corner;
    end else if (c == COLS - 2) begin : g_last_but_one
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign sums[g*WIDTH+c] = partial[(ROWS-1)*COLS+g*WIDTH+c];
      end
    end else begin : g_earlier
      (* ram_style = "distributed" *)
      logic [GROUPS-1:0][SUM_BITS-1:0] line[COLS];
      logic [GROUPS-1:0][SUM_BITS-1:0] word;
      for (genvar g = 0; g < GROUPS; g++) begin : g_group
        assign word[g] = partial[(ROWS-1)*COLS+g*WIDTH+c];
        assign sums[g*WIDTH+c] = line[EXIT_BITS'(ago(int'(exit_at), COLS - 2 - c, COLS))][g];
      end
      always_ff @(posedge clk) line[exit_at] <= word;
    end
  end

  always_ff @(posedge clk) begin
    operand_t next_passing[ROWS*COLS];
    operand_t next_held[ROWS*COLS];
    operand_t next_shadow[ROWS*STRIDE];
    sum_t next_partial[ROWS*COLS];
    next_held = held;
    for (int g = 0; g < GROUPS; g++) begin
      if (token[g] != '0) begin
        for (int r = 0; r < ROWS; r++) begin
          for (int c = 0; c < WIDTH; c++) begin
            if (token[g][r+c]) next_held[r*COLS+g*WIDTH+c] = shadow[r*STRIDE+g*WIDTH+c];
          end
        end
      end
    end
    for (int unsigned at = 0; at < ROWS * COLS; at++) begin
      next_passing[at] = passing[at==0?0 : at-1];
    end
    for (int g = 0; g < GROUPS; g++) begin
      for (int r = 0; r < ROWS; r++) next_passing[r*COLS+g*WIDTH] = entering[g*ROWS+r];
    end
    for (int unsigned at = 0; at < COLS; at++) begin
      next_partial[at] = multiply_add('0, next_passing[at], next_held[at]);
    end
    for (int unsigned at = COLS; at < ROWS * COLS; at++) begin
      next_partial[at] = multiply_add(partial[at-COLS], next_passing[at], next_held[at]);
    end
    next_shadow = shadow;
    for (int c = 0; c < COLS; c++) begin
      if (loading[c].write) next_shadow[int'(loading[c].row)*STRIDE+c] = loading[c].operand;
    end
    passing <= next_passing;
    held <= next_held;
    shadow <= next_shadow;
    partial <= next_partial;
    swapped <= token;
    row_at <= int'(row_at) == ROWS - 1 ? '0 : row_at + 1'b1;
    column_at <= int'(column_at) == WIDTH - 1 ? '0 : column_at + 1'b1;
    exit_at <= int'(exit_at) == COLS - 1 ? '0 : exit_at + 1'b1;
  end
endmodule
