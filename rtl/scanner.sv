// Index scanner of a column group, with the queue between it and the array.
//
// The candidates of a fold are examined `window` at a time; a window takes `window_cycles` cycles and is known
// in the last of them. What it found is pushed in the same cycle, as far as the queue has room; the next window
// begins when all of it has been pushed. What is pushed may be popped in the same cycle.
module scanner
  import cgsim_pkg::*;
#(
    parameter int WINDOW = 64,  // most candidates that a window may have
    parameter int QUEUE = 16  // most indices that the queue may hold
) (
    input logic clk,
    input index_t window,
    input index_t window_cycles,
    input index_t depth,
    input logic run,  // a cycle of scanning
    input logic restart,  // with this cycle a new list of candidates begins
    input index_t need,  // need bit of vector 0
    input index_t first,  // the candidates: vectors from this one on,
    input index_t count,  // so many,
    input index_t skip_from,  // where after so many of them
    input index_t skip,  // so many vectors are left out
    output index_t read_address[2],  // need bits before and behind what is left out
    input logic [WINDOW-1:0] read[2],
    output logic found,  // the queue is not empty, `head` is its oldest vector
    output index_t head,
    input logic pop
);
  localparam int SLOT_BITS = QUEUE == 1 ? 1 : $clog2(QUEUE);
  typedef logic [SLOT_BITS-1:0] slot_t;

  index_t queue[QUEUE], next_queue[QUEUE];
  slot_t oldest, free;
  index_t held;  // occupancy of the queue
  index_t position;  // first candidate that no window has shown yet
  index_t base;  // first candidate of the last window
  index_t waited;  // cycles spent on the window that is being read
  logic [WINDOW-1:0] left;  // found in the last window, not pushed yet

  // The state as this cycle finds it.
  index_t now_held, now_position, now_waited;
  logic [WINDOW-1:0] now_left;
  slot_t now_oldest, now_free;
  always_comb begin
    now_held = restart ? '0 : held;
    now_position = restart ? '0 : position;
    now_waited = restart ? '0 : waited;
    now_left = restart ? '0 : left;
    now_oldest = restart ? '0 : oldest;
    now_free = restart ? '0 : free;
  end

  // The window: known now, or still being read.
  logic reading, known;
  index_t size, before_skip;
  logic [WINDOW-1:0] shown;
  always_comb begin
    reading = now_left == '0 && now_position < count;
    known = reading && now_waited + 1 >= window_cycles;
    read_address[0] = need + first + now_position;
    read_address[1] = read_address[0] + skip;
    size = count - now_position < window ? count - now_position : window;
    before_skip = now_position < skip_from ? skip_from - now_position : '0;
    shown = read[1];
    if (before_skip >= INDEX_BITS'(WINDOW)) shown = read[0];
    else if (before_skip != '0) shown = (read[0] & ~('1 << before_skip)) | (read[1] & ('1 << before_skip));
    if (size < INDEX_BITS'(WINDOW)) shown &= ~('1 << size);
  end

  // The queue. A ring: the loop looks for the bits that are set, lowest first.
  function automatic slot_t after(slot_t slot);
    return slot == SLOT_BITS'(QUEUE - 1) ? '0 : slot + 1'b1;
  endfunction

  logic [WINDOW-1:0] next_left;
  index_t now_base, full, candidate;
  slot_t next_free;
  always_comb begin
    next_left = known ? shown : now_left;
    now_base = known ? now_position : base;
    next_queue = queue;
    next_free = now_free;
    full = now_held;
    candidate = '0;
    if (run && next_left != '0) begin
      for (int v = 0; v < WINDOW; v++) begin
        if (next_left[v] && full < depth) begin
          candidate = now_base + INDEX_BITS'(v);
          next_queue[next_free] = first + candidate + (candidate < skip_from ? '0 : skip);
          next_free = after(next_free);
          full = full + 1;
          next_left[v] = 1'b0;
        end
      end
    end
    found = full != '0;
    head = next_queue[now_oldest];
  end

  always_ff @(posedge clk) begin
    if (run) begin
      queue <= next_queue;
      free <= next_free;
      left <= next_left;
      base <= now_base;
      position <= known ? now_position + size : now_position;
      waited <= reading && !known ? now_waited + 1 : '0;
      oldest <= pop ? after(now_oldest) : now_oldest;
      held <= pop ? full - 1 : full;
    end
  end
endmodule
