// Runs layers on the array: reads jobs from stdin, holds their operands, writes what the array did to stdout.
//
// All numbers are little-endian; tests/rtl/cosim.py is the other end. A job:
//   uint32 writes, results, slots; uint32 {rounds, vectors, moving bytes, stationary bytes} of the base and of
//   the conditional phase; uint32 block of each slot; {uint32 space, address, data} of each write of the host;
//   int8 moving and stationary operands of the base phase, then of the conditional phase.
// `rounds` are row folds (`os`: reduction steps), `vectors` those of a row fold (`os`: pixels), `results`
// addresses of a column's accumulator buffer. Operands:
//   moving      [block][row fold][vector][row]     os: [block][step][pixel]
//   stationary  [slot][row fold][row][column]      os: [slot][step][column]
// The answer: uint32 cycles, seen, cycles of the six events; int32 sums [group][address][column] as the
// accumulator buffers hold them in the end (0 where nothing was written); uint8 gates, the same.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "Vgated_array.h"
#include "verilated.h"

namespace {

constexpr int kWidth = COLS / GROUPS;

template <typename T>
bool bit(const T& value, int i) {
  return value >> i & 1;
}
template <std::size_t N>
bool bit(const VlWide<N>& value, int i) {
  return value[i / 32] >> (i % 32) & 1;
}

template <typename T>
bool any(const T& value) {
  return value != 0;
}
template <std::size_t N>
bool any(const VlWide<N>& value) {
  for (std::size_t i = 0; i < N; i++) {
    if (value[i]) return true;
  }
  return false;
}

void need(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "cosim: %s\n", what);
  std::exit(1);
}

template <typename T>
std::vector<T> read(std::size_t count) {
  std::vector<T> values(count);
  need(std::fread(values.data(), sizeof(T), count, stdin) == count, "the input ends within a job");
  return values;
}

template <typename T>
void write(const T* values, std::size_t count) {
  need(std::fwrite(values, sizeof(T), count, stdout) == count, "the output cannot be written");
}

struct Phase {
  std::size_t rounds, vectors, moving_bytes, stationary_bytes;
  std::vector<int8_t> moving, stationary;
};

struct Job {
  std::size_t results;
  std::vector<uint32_t> blocks, writes;
  Phase phases[2];
};

bool read_job(Job& job) {
  uint32_t header[11];
  const std::size_t got = std::fread(header, sizeof(uint32_t), 11, stdin);
  if (got == 0) return false;
  need(got == 11, "the input ends within a job");
  job.results = header[1];
  for (int p = 0; p < 2; p++) {
    const uint32_t* sizes = header + 3 + 4 * p;
    job.phases[p].rounds = sizes[0];
    job.phases[p].vectors = sizes[1];
    job.phases[p].moving_bytes = sizes[2];
    job.phases[p].stationary_bytes = sizes[3];
  }
  job.blocks = read<uint32_t>(header[2]);
  job.writes = read<uint32_t>(3 * std::size_t{header[0]});
  for (Phase& phase : job.phases) {
    phase.moving = read<int8_t>(phase.moving_bytes);
    phase.stationary = read<int8_t>(phase.stationary_bytes);
  }
  return true;
}

class Machine {
 public:
  explicit Machine(VerilatedContext* context) : top_(context) {}

  void run(const Job& job) {
    job_ = &job;
    sums_.assign(job.results * COLS, 0);
    gates_.assign(job.results * COLS, 0);
    top_.run_in = 0;
    top_.reset_in = 1;
    clock();
    top_.reset_in = 0;
    for (std::size_t i = 0; i < job.writes.size(); i += 3) {
      top_.host_in[0] = job.writes[i + 2];
      top_.host_in[1] = job.writes[i + 1];
      top_.host_in[2] = job.writes[i] | 8;
      clock();
    }
    top_.host_in[2] = 0;
    top_.run_in = 1;
    clock();
    uint32_t idle = 0;
    while (!top_.finished) {
      supply();
      top_.clk = 0;
      top_.eval();
      idle = any(top_.enters) || any(top_.load) ? 0 : idle + 1;
      need(idle < 1000000, "the array stands still");
      collect();
      top_.clk = 1;
      top_.eval();
    }
    clock();  // a decision may fall into the last cycle
    uint32_t answer[8] = {top_.cycles, top_.seen};
    for (int i = 0; i < 6; i++) answer[2 + i] = top_.event_cycle[i];
    write(answer, 8);
    write(sums_.data(), sums_.size());
    write(gates_.data(), gates_.size());
  }

 private:
  void clock() {
    top_.clk = 0;
    top_.eval();
    top_.clk = 1;
    top_.eval();
  }

  // Puts what the array asks for in this cycle on its ports.
  void supply() {
    for (int g = 0; g < GROUPS; g++) {
      if (!OUTPUT && bit(top_.load, g)) {
        const Phase& phase = job_->phases[bit(top_.load_conditional, g)];
        const std::size_t slot = top_.load_fold[g] * GROUPS + g;
        const std::size_t line = (slot * phase.rounds + top_.load_entry[g]) * ROWS + top_.load_row[g];
        copy(&top_.stationary[g * kWidth], phase.stationary, line * kWidth, kWidth);
      }
      if (!bit(top_.enters, g)) continue;
      const Phase& phase = job_->phases[bit(top_.conditional, g)];
      const std::size_t slot = top_.fold[g] * GROUPS + g;
      need(slot < job_->blocks.size(), "a slot that does not exist");
      const std::size_t block = job_->blocks[slot];
      if (OUTPUT) {
        copy(&top_.stationary[g * kWidth], phase.stationary, (slot * phase.rounds + top_.index[g]) * kWidth, kWidth);
        const std::size_t step = (block * phase.rounds + top_.index[g]) * phase.vectors;
        for (int r = 0; r < ROWS; r++) {
          const bool has = bit(top_.has_pixel[g], r);
          need(!has || top_.pixel[g * ROWS + r] < phase.vectors, "a pixel that does not exist");
          top_.moving[g * ROWS + r] = has ? phase.moving[step + top_.pixel[g * ROWS + r]] : 0;
        }
      } else {
        const std::size_t line = (block * phase.rounds + top_.entry[g]) * phase.vectors + top_.index[g];
        copy(&top_.moving[g * ROWS], phase.moving, line * ROWS, ROWS);
      }
    }
  }

  static void copy(CData* port, const std::vector<int8_t>& from, std::size_t first, std::size_t count) {
    need(first + count <= from.size(), "an operand that does not exist");
    std::memcpy(port, from.data() + first, count);
  }

  // Takes what the accumulator buffers are being told.
  void collect() {
    if (!any(top_.result)) return;
    for (int g = 0; g < GROUPS; g++) {
      if (!bit(top_.result, g)) continue;
      const std::size_t address = top_.result_address[g];
      need(address < job_->results, "a result that does not exist");
      const std::size_t line = (g * job_->results + address) * kWidth;
      for (int c = 0; c < kWidth; c++) {
        sums_[line + c] = static_cast<int32_t>(top_.totals[g * kWidth + c]);
        gates_[line + c] = bit(top_.gates, g * kWidth + c);
      }
    }
  }

  Vgated_array top_;
  const Job* job_ = nullptr;
  std::vector<int32_t> sums_;
  std::vector<uint8_t> gates_;
};

}  // namespace

int main() {
  VerilatedContext context;
  const auto machine = std::make_unique<Machine>(&context);
  Job job;
  while (read_job(job)) machine->run(job);
  return std::fflush(stdout) != 0;
}
