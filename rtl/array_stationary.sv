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

  typedef logic signed [OPERAND_BITS-1:0] operand_t;
  typedef logic signed [SUM_BITS-1:0] sum_t;

  // The processing element: one product, one sum.
  function automatic sum_t multiply_add(sum_t above, operand_t left, operand_t held);
    return above + SUM_BITS'(left) * SUM_BITS'(held);
  endfunction

  operand_t passing[ROWS*COLS];  // for the right neighbour
  operand_t held[ROWS*COLS];
  operand_t shadow[ROWS*COLS];
  sum_t partial[ROWS*COLS];  // for the PE below

  // Lines in which something waits for its row or column: what entered d cycles ago stands at (now - d).
  localparam int ROW_BITS = ROWS == 1 ? 1 : $clog2(ROWS);
  localparam int COLUMN_BITS = WIDTH == 1 ? 1 : $clog2(WIDTH);
  localparam int EXIT_BITS = COLS == 1 ? 1 : $clog2(COLS);
  bit [ROW_BITS-1:0] row_at;
  bit [COLUMN_BITS-1:0] column_at;
  bit [EXIT_BITS-1:0] exit_at;
  int row_now, column_now, exit_now;
  assign row_now = int'(row_at);
  assign column_now = int'(column_at);
  assign exit_now = int'(exit_at);
  operand_t vectors[ROWS][GROUPS*ROWS];
  operand_t written[WIDTH][COLS];
  logic [GROUPS-1:0] write[WIDTH];
  logic [15:0] write_row[WIDTH][GROUPS];
  sum_t leaving[COLS][COLS];
  logic [DIAGONALS-1:0] swapped[GROUPS];  // tokens, by the diagonal r + c that they have reached
  logic [DIAGONALS-1:0] token[GROUPS];  // with the one that enters now

  function automatic int ago(int now, int age, int size);
    return now >= age ? now - age : now + size - age;
  endfunction

  operand_t entering[GROUPS*ROWS];

  always_comb begin
    for (int g = 0; g < GROUPS; g++) begin
      token[g] = DIAGONALS'({swapped[g], swap[g]});
      for (int r = 0; r < ROWS; r++) begin
        entering[g*ROWS+r] = r == 0 ? moving[g*ROWS] : vectors[ago(row_now, r, ROWS)][g*ROWS+r];
      end
    end
  end

  // The last column of an undivided array has no exit register: its last PE's sum leaves as it is made.
  localparam int LAST = ROWS * COLS - 1;
  sum_t corner;
  if (GROUPS == 1) begin : g_corner
    assign corner = multiply_add(
        ROWS == 1 ? '0 : partial[ROWS==1?0 : LAST-COLS],
        COLS == 1 ? entering[ROWS-1] : passing[COLS==1?0 : LAST-1],
        token[0][DIAGONALS-1] ? shadow[LAST] : held[LAST]
    );
  end else begin : g_no_corner
    assign corner = '0;
  end

  always_comb begin
    for (int g = 0; g < GROUPS; g++) begin
      for (int c = 0; c < WIDTH; c++) begin
        sums[g*WIDTH+c] = c == COLS - 1 ? corner : leaving[ago(exit_now, COLS-1-c, COLS)][g*WIDTH+c];
      end
    end
  end

  always_ff @(posedge clk) begin
    operand_t next_passing[ROWS*COLS];
    operand_t next_held[ROWS*COLS];
    operand_t next_shadow[ROWS*COLS];
    sum_t next_partial[ROWS*COLS];
    sum_t bottom[COLS];
    next_held = held;
    for (int g = 0; g < GROUPS; g++) begin
      if (token[g] != '0) begin
        for (int r = 0; r < ROWS; r++) begin
          for (int c = 0; c < WIDTH; c++) begin
            if (token[g][r+c]) next_held[r*COLS+g*WIDTH+c] = shadow[r*COLS+g*WIDTH+c];
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
    for (int g = 0; g < GROUPS; g++) begin
      if (load[g]) next_shadow[int'(ROW_BITS'(load_row[g]))*COLS+g*WIDTH] = stationary[g*WIDTH];
      for (int c = 1; c < WIDTH; c++) begin
        if (write[ago(column_now, c, WIDTH)][g]) begin
          next_shadow[int'(ROW_BITS'(write_row[ago(column_now, c, WIDTH)][g]))*COLS+g*WIDTH+c] =
              written[ago(column_now, c, WIDTH)][g*WIDTH+c];
        end
      end
    end
    passing <= next_passing;
    held <= next_held;
    shadow <= next_shadow;
    partial <= next_partial;
    swapped <= token;
    vectors[row_at] <= moving;
    written[column_at] <= stationary;
    write[column_at] <= load;
    write_row[column_at] <= load_row;
    for (int c = 0; c < COLS; c++) bottom[c] = next_partial[(ROWS-1)*COLS+c];
    leaving[exit_at] <= bottom;
    row_at <= row_now == ROWS - 1 ? '0 : row_at + 1'b1;
    column_at <= column_now == WIDTH - 1 ? '0 : column_at + 1'b1;
    exit_at <= exit_now == COLS - 1 ? '0 : exit_at + 1'b1;
  end
endmodule
