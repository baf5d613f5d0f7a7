// Index scanner of a column group, with the queue between it and the array.
//
// The candidates of a fold are examined `window` at a time; a window takes `window_cycles` cycles and is known
// in the last of them. What it found is pushed in the same cycle, as far as the queue has room; the next window
// begins when all of it has been pushed. What is pushed may be popped in the same cycle.
//
// The queue holds windows, not indices: indices found in one cycle would need as many ports. A count of the
// vectors found and not yet popped tells whether `depth` of them would fill the queue; the lowest bit of the
// oldest window is the vector at its head.
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
  localparam int BIT_BITS = $clog2(WINDOW);
  typedef logic [SLOT_BITS-1:0] slot_t;
  typedef struct packed {
    index_t base;  // its first candidate
    logic [WINDOW-1:0] bits;  // found in it, not popped yet
  } window_t;

  window_t front;  // the oldest window; empty only if all are
  (* ram_style = "distributed" *)
  (* ram_style = "distributed" *)
  window_t queue[QUEUE];  // the windows behind it
  slot_t oldest, free;
  logic [SLOT_BITS:0] held;  // windows in the queue
  index_t waiting;  // vectors found and not yet popped
  logic full;  // more than the queue may hold: some are not pushed yet
  index_t position;  // first candidate that no window has shown yet
  index_t waited;  // cycles spent on the window that is being read

  // The state as this cycle finds it.
  index_t now_waiting, now_position, now_waited;
  logic now_full;
  window_t now_front;
  slot_t now_oldest, now_free;
  logic [SLOT_BITS:0] now_held;
  always_comb begin
    now_waiting = restart ? '0 : waiting;
    now_full = !restart && full;
    now_position = restart ? '0 : position;
    now_waited = restart ? '0 : waited;
    now_front = restart ? '0 : front;
    now_oldest = restart ? '0 : oldest;
    now_free = restart ? '0 : free;
    now_held = restart ? '0 : held;
  end

  // The window: known now, or still being read.
  logic reading, known;
  index_t size, before_skip;
  logic [WINDOW-1:0] seen;
  window_t shown;
  always_comb begin
    reading = !now_full && now_position < count;
    known = reading && now_waited + 1 >= window_cycles;
    read_address[0] = need + first + now_position;
    read_address[1] = read_address[0] + skip;
    size = count - now_position < window ? count - now_position : window;
    before_skip = now_position < skip_from ? skip_from - now_position : '0;
    seen = read[1];
    if (before_skip >= INDEX_BITS'(WINDOW)) seen = read[0];
    else if (before_skip != '0) seen = (read[0] & ~('1 << before_skip)) | (read[1] & ('1 << before_skip));
    if (size < INDEX_BITS'(WINDOW)) seen &= ~('1 << size);
    shown.base = now_position;
    shown.bits = known ? seen : '0;
  end

  // How many vectors are waiting with those of this cycle.
  index_t total;
  always_comb begin
    total = now_waiting;
    for (int v = 0; v < WINDOW; v++) total = total + INDEX_BITS'(shown.bits[v]);
  end

  // The head: the lowest bit of the oldest window, which may be the one just shown.
  window_t first_window;
  logic [WINDOW-1:0] lowest, rest;
  logic [BIT_BITS-1:0] place;
  index_t candidate;
  always_comb begin
    first_window = now_front.bits != '0 ? now_front : shown;
    lowest = first_window.bits & (~first_window.bits + 1'b1);
    rest = first_window.bits & ~lowest;
    place = '0;
    for (int v = 0; v < WINDOW; v++) place |= lowest[v] ? BIT_BITS'(v) : '0;
    candidate = first_window.base + INDEX_BITS'(place);
    found = first_window.bits != '0;
    head = first + candidate + (candidate < skip_from ? '0 : skip);
  end

  // The queue, a ring: what is shown goes to its end, or to the front if nothing is left there.
  function automatic slot_t after(slot_t slot);
    return slot == SLOT_BITS'(QUEUE - 1) ? '0 : slot + 1'b1;
  endfunction

  logic front_is_done, arrives, enters_queue, leaves_queue;
  always_comb begin
    front_is_done = pop && rest == '0;
    arrives = shown.bits != '0 && now_front.bits != '0;
    leaves_queue = front_is_done && now_held != '0;
    enters_queue = arrives && !(front_is_done && now_held == '0);
  end

  always_ff @(posedge clk) begin
    if (run) begin
      waiting <= pop ? total - 1 : total;
      full <= total > depth;
      position <= known ? now_position + size : now_position;
      waited <= reading && !known ? now_waited + 1 : '0;
      if (!front_is_done) begin
        front.base <= first_window.base;
        front.bits <= pop ? rest : first_window.bits;
      end else if (leaves_queue) begin
        front <= queue[now_oldest];
      end else begin
        front.base <= shown.base;
        front.bits <= arrives ? shown.bits : '0;
      end
      if (enters_queue) queue[now_free] <= shown;
      free <= enters_queue ? after(now_free) : now_free;
      oldest <= leaves_queue ? after(now_oldest) : now_oldest;
      held <= now_held + (SLOT_BITS + 1)'(enters_queue) - (SLOT_BITS + 1)'(leaves_queue);
    end
  end
endmodule
