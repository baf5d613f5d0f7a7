// Types that the modules hand to each other.
package cgsim_pkg;

  localparam int INDEX_BITS = 20;

  // A pixel, a filter, a reduction step, an address of the accumulator buffer, or a number of them.
  typedef logic [INDEX_BITS-1:0] index_t;
  // A column fold, a row fold, a part of the reduction, or a number of them.
  typedef logic [15:0] fold_t;

  // What the host tells the machine about a layer; constant while it runs.
  typedef struct packed {
    logic overlapped;  // the next stationary operands are loaded while a fold streams
    logic direct;  // `os`: finished sums leave at once, not through the drain chain (SCALE-Sim's convention)
    logic lockstep;  // all column groups go through their rounds together (group_sync: fold)
    logic meet;  // the decision waits for all column groups (group_sync: fold, tile)
    logic gated;  // the base phase ends with a decision, which orders the conditional phase
    logic scanned;  // no base phase: the host has written the need bits (gates of pixels)
    logic by_vector;  // thresholds belong to vectors (`is`: filters), otherwise to the columns of a fold
    fold_t slots;  // slots of a column group's width
    fold_t folds;  // column folds: slots / column groups, rounded up
    fold_t tail;  // columns in use in the last slot
    fold_t sections;  // convolution groups that share the columns of a fold (`is`), otherwise 1
    fold_t base_parts;  // parts of the reduction per section in the base phase
    fold_t late_parts;  // and in the conditional phase
    fold_t own_parts;  // the first of the late parts are base parts, not read by those who had them as base
    fold_t late_table;  // where the parts of the conditional phase begin in the table of parts
    index_t stride;  // addresses of the accumulator buffer per column fold
    index_t need_stride;  // addresses of need bits per column fold
    index_t vectors;  // `os`: pixels
    index_t needed;  // `scanned`: needed vectors of every slot
    index_t base_steps;  // `os`: reduction steps of the base phase
    index_t late_steps;  // and of the conditional phase
    index_t window;  // candidates that the scanner examines at once
    index_t window_cycles;  // cycles that it takes for them
    index_t depth;  // indices that the queue between scanner and array holds
    index_t banks;  // banks of the activation buffer, 0: no conflicts
    index_t latency;  // cycles from the last base result to the decision
  } config_t;

  // Registers of the host, and memories that it may write (one space each).
  typedef enum logic [2:0] {
    SPACE_REGISTERS,
    SPACE_PARTS,
    SPACE_THRESHOLDS,
    SPACE_NEED,
    SPACE_BLOCKS
  } space_t;

  typedef struct packed {
    logic valid;
    space_t space;
    logic [31:0] address;
    logic [31:0] data;
  } host_t;

  // A part of the reduction, cut into row folds ("slices"): who reads it.
  typedef struct packed {
    fold_t entry;  // number of its first row fold, counted through all parts of the phase
    fold_t slices;  // its row folds
    index_t first;  // the vectors [first, first + count) read it, without skip vectors from skip_from on;
    index_t count;  // count is what is left
    index_t skip_from;
    index_t skip;
  } part_t;

  // What a column group does in a round.
  typedef struct packed {
    logic take;  // it takes part
    logic conditional;
    logic scanned;  // the scanner finds the vectors (`os`: the pixels of the rows)
    logic overwrite;  // its sums begin
    logic last_slice;  // the last row fold of its part
    logic first_part;  // of its section
    logic last_part;
    fold_t fold;  // column fold
    fold_t slice;  // row fold within the part; `os`: row tile
    fold_t entry;  // row fold within the phase
    part_t part;
    index_t length;  // vectors or steps that will enter
    index_t rows;  // `os`: pixels of this row tile
    index_t address;  // of vector 0 in the accumulator buffer
    index_t need;  // of candidate 0 among the need bits
  } round_t;

  // What travels beside the sums of a vector, to meet them when they leave.
  typedef struct packed {
    logic valid;  // there is a result
    logic overwrite;  // it is the first of its sum, what the buffer holds is old
    logic masked;  // it counts only where the gate is on
    logic decides;  // it completes the base sums: compare, count
    logic first_of_part;  // counters start anew
    logic first_of_section;
    logic last_of_part;  // counters are complete
    logic last_of_section;
    logic last_of_round;  // `os`: nothing follows of this round
    logic last_slot;  // some columns may hold nothing
    index_t address;
    index_t threshold;  // which thresholds it is compared with
  } tag_t;

endpackage
