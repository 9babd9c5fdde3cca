#include "grid.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstring>
#include <map>
#include <memory>
#include <vector>

namespace emulation {

Index thread, block, grid, block_size;

namespace {

constexpr size_t kStackBytes = 256 * 1024;  // of which the pages that are touched are taken
constexpr uint32_t kSharedBegin = 1024;     // so that 0 is no address
constexpr int kPatience = 20000;            // turns of a warp in which nothing happens
constexpr int kNap = 1000;                  // turns of every warp: longer than warps have patience

struct Lane {
  ucontext_t context;
  bool ended = false;
  bool has_waited = false;                 // for the kernel before
  unsigned turn = 0;                       // collectives that it has been in
  std::function<bool()> ready;             // empty: it can run
  std::map<const void*, uint64_t> looked;  // where, and the writes of all until then
};

struct Block;

struct Warp {
  Block* block;
  unsigned first_thread;
  uint64_t takes;  // one turn in so many
  uint64_t sleeps_until = 0;
  bool polls = false;  // looks where nothing has been written since it last looked
  std::vector<Lane> lanes = std::vector<Lane>(kLanes);
  // Of a collective and of the one before, because a lane may go on before others have looked.
  char brought[2][kLanes * kMostBrought];
  const char* kind[2];
  int arrived[2] = {0, 0};
  unsigned done = 0;
  int ended = 0;
};

struct Barrier {
  uint32_t expected, pending;
  int64_t bytes;
  uint32_t phase;
};

struct Block {
  unsigned index;
  std::vector<char> shared;
  std::map<uint32_t, Barrier> barriers;
  std::vector<std::unique_ptr<Warp>> warps;
  std::vector<std::function<void()>> copies;
  unsigned gathered = 0, gatherings = 0;
  int ended = 0;
};

struct Stacks {
  size_t bytes;
  char* memory;
  explicit Stacks(size_t count)
      : bytes(count * kStackBytes),
        memory(static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  ~Stacks() { munmap(memory, bytes); }
};

struct Scheduler {
  ucontext_t context;
  std::vector<std::unique_ptr<Block>> blocks;
  size_t entered = 0;  // of them
  std::vector<Warp*> alive;
  Warp* warp = nullptr;
  Lane* lane = nullptr;
  uint64_t state;
  uint64_t progress = 0;
  uint64_t writes = 1;
  uint64_t now = 0;  // turns that have been offered
  unsigned naps = 0;
  unsigned first = 0;
  std::string problem;
  std::function<void()> body;

  uint64_t random() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
  void report(const std::string& sentence) {
    if (problem.empty()) problem = "block " + std::to_string(block.x) + ": " + sentence;
  }
  void copy_one(Block& of) {
    const size_t index = random() % of.copies.size();
    const std::function<void()> copy = of.copies[index];
    of.copies.erase(of.copies.begin() + static_cast<std::ptrdiff_t>(index));
    copy();
    ++progress;
  }
  // Nobody promises an order.
  void enter() {
    if (first == 0)
      std::swap(blocks[entered], blocks[entered + random() % (blocks.size() - entered)]);
    for (auto& each : blocks[entered]->warps)
      alive.push_back(each.get());
    ++entered;
  }
  // What other warps do meanwhile, they do on what this one has written so far.
  void may_nap() {
    if (naps != 0 && random() % naps == 0) warp->sleeps_until = now + kNap * alive.size();
  }
  bool has_room_for_all() const { return entered == blocks.size(); }
  void take_turn(Warp& of);
  bool copy_any();
  void loop();
};

Scheduler* running;

void run_lane() {
  running->body();
  running->lane->ended = true;
  ++running->warp->ended;
  ++running->progress;
  swapcontext(&running->lane->context, &running->context);
}

void Scheduler::take_turn(Warp& of) {
  warp = &of;
  block.x = of.block->index;
  Block& home = *of.block;
  if (!home.copies.empty() && random() % 4 == 0) copy_one(home);
  const unsigned from = static_cast<unsigned>(random());
  for (unsigned i = 0; i < kLanes && problem.empty(); ++i) {
    const unsigned number = (from + i) % kLanes;
    lane = &of.lanes[number];
    if (lane->ended || (lane->ready && !lane->ready())) continue;
    lane->ready = nullptr;
    thread.x = of.first_thread + number;
    swapcontext(&context, &lane->context);
  }
}

bool Scheduler::copy_any() {
  for (auto& each : blocks)
    if (!each->copies.empty()) {
      block.x = each->index;
      warp = each->warps[0].get();
      copy_one(*each);
      return true;
    }
  return false;
}

void Scheduler::loop() {
  uint64_t seen = 0;
  size_t idle = 0;
  while (!alive.empty() && problem.empty()) {
    const size_t index = random() % alive.size();
    Warp& next = *alive[index];
    if (++now < next.sleeps_until || random() % next.takes != 0) continue;
    take_turn(next);
    if (next.ended == kLanes) {
      alive[index] = alive.back();
      alive.pop_back();
      if (++next.block->ended == static_cast<int>(next.block->warps.size())) {
        if (!next.block->copies.empty())
          report("a copy is still on its way when the block has ended");
        if (!has_room_for_all()) enter();
      }
    }
    idle = progress == seen ? idle + 1 : 0;
    seen = progress;
    if (idle > kPatience * alive.size() / 8 && !alive.empty() && !copy_any())
      report("threads wait for ever");
  }
}

Barrier& barrier_at(uint32_t address) {
  auto& all = running->warp->block->barriers;
  if (all.find(address) == all.end()) running->report("no barrier has been initialised there");
  return all[address];
}

void settle(Barrier& barrier) {
  if (barrier.pending != 0 || barrier.bytes != 0) return;
  barrier.pending = barrier.expected;
  ++barrier.phase;
  ++running->progress;
}

}  // namespace

std::string run(const Launch& launch, uint64_t seed, const std::function<void()>& body) {
  Scheduler scheduler;
  Stacks stacks(size_t{launch.blocks} * launch.threads);
  running = &scheduler;
  scheduler.state = seed * 0x9e3779b97f4a7c15u + 1;
  scheduler.body = body;
  scheduler.naps = launch.naps;
  scheduler.first = launch.first;
  grid.x = launch.of_blocks;
  block_size.x = launch.threads;
  size_t count = 0;
  for (unsigned b = 0; b < launch.blocks; ++b) {
    auto made = std::make_unique<Block>();
    const unsigned place =
        launch.first == 0 ? b : (launch.first + launch.blocks - b) % launch.blocks;
    made->index = launch.first_block + place;
    made->shared.assign(launch.shared_bytes, static_cast<char>(0xff));
    for (unsigned t = 0; t < launch.threads; t += kLanes) {
      auto warp = std::make_unique<Warp>();
      warp->block = made.get();
      warp->first_thread = t;
      warp->takes = scheduler.random() % 4 != 0 ? 1 : 16 << scheduler.random() % 3;
      for (Lane& lane : warp->lanes) {
        getcontext(&lane.context);
        lane.context.uc_stack.ss_sp = stacks.memory + count++ * kStackBytes;
        lane.context.uc_stack.ss_size = kStackBytes;
        lane.context.uc_link = nullptr;
        makecontext(&lane.context, run_lane, 0);
      }
      made->warps.push_back(std::move(warp));
    }
    scheduler.blocks.push_back(std::move(made));
  }
  while (!scheduler.has_room_for_all() &&
         (launch.resident == 0 || scheduler.entered < launch.resident))
    scheduler.enter();
  scheduler.loop();
  running = nullptr;
  return scheduler.problem;
}

void wait_until(const std::function<bool()>& ready) {
  if (ready()) return;
  running->lane->ready = ready;
  let_others_run();
}

void let_others_run() {
  Lane* const lane = running->lane;
  swapcontext(&lane->context, &running->context);
}

void wait_for_kernel_before() {
  running->lane->has_waited = true;
}
void needs_kernel_before() {
  if (!running->lane->has_waited)
    running->report("the workspace is used while the kernel before may still use it");
}

void has_stored() {
  ++running->writes;
  ++running->progress;
  running->may_nap();
}

void before_count() {
  running->may_nap();
  let_others_run();
}

void before_load(const void* source, bool keeps_looking) {
  Lane* const lane = running->lane;
  running->warp->polls = lane->looked[source] == running->writes;
  // Who waits for a block that there is no room for may lose patience.
  if (!keeps_looking || !running->has_room_for_all() || !running->warp->polls) {
    let_others_run();
  } else {
    const uint64_t seen = running->writes;
    wait_until([seen] { return running->writes != seen; });
  }
  lane->looked[source] = running->writes;
}

const void* bring(const char* kind, const void* brought, size_t bytes) {
  Warp* const warp = running->warp;
  const unsigned turn = running->lane->turn++;
  const unsigned side = turn % 2;
  if (warp->ended != 0) running->report(std::string("lanes have ended before ") + kind);
  if (warp->arrived[side] == 0) warp->kind[side] = kind;
  if (std::strcmp(warp->kind[side], kind) != 0)
    running->report(std::string("lanes part at ") + kind + " and " + warp->kind[side]);
  std::memcpy(warp->brought[side] + static_cast<size_t>(this_lane()) * bytes, brought, bytes);
  if (++warp->arrived[side] == kLanes) {
    warp->arrived[side] = 0;
    warp->done = turn + 1;
    if (!warp->polls) ++running->progress;
  }
  wait_until([warp, turn] { return warp->done > turn; });
  return warp->brought[side];
}

char* shared_begin() {
  return running->warp->block->shared.data();
}
uint32_t address_of(const void* pointer) {
  return static_cast<uint32_t>(static_cast<const char*>(pointer) - shared_begin()) + kSharedBegin;
}
char* shared_at(uint32_t address, size_t bytes) {
  auto& shared = running->warp->block->shared;
  const size_t begin = size_t{address} - kSharedBegin;
  if (begin < shared.size() && bytes <= shared.size() - begin) return shared.data() + begin;
  running->report("shared memory has no byte at " + std::to_string(begin));
  return shared.data();
}

void init_barrier(uint32_t address, uint32_t arrivals) {
  shared_at(address, 8);
  running->warp->block->barriers[address] = {arrivals, arrivals, 0, 0};
}
void arrive_at(uint32_t address) {
  Barrier& barrier = barrier_at(address);
  if (barrier.pending == 0) running->report("more threads arrive at a barrier than it expects");
  --barrier.pending;
  settle(barrier);
}
void expect_bytes(uint32_t address, int64_t bytes) {
  barrier_at(address).bytes += bytes;
  arrive_at(address);
}
void bytes_arrive(uint32_t address, int64_t bytes) {
  Barrier& barrier = barrier_at(address);
  barrier.bytes -= bytes;
  settle(barrier);
}
void wait_for_phase(uint32_t address, uint32_t parity) {
  const Barrier* const barrier = &barrier_at(address);
  wait_until([barrier, parity] { return barrier->phase % 2 != parity; });
}
bool has_completed(uint32_t address, uint32_t parity) {
  return barrier_at(address).phase % 2 != parity;
}
void meet_block() {
  Block* const home = running->warp->block;
  const unsigned now = home->gatherings;
  if (++home->gathered == block_size.x) {
    home->gathered = 0;
    ++home->gatherings;
    ++running->progress;
  }
  wait_until([home, now] { return home->gatherings != now; });
}

void later(std::function<void()> copy) {
  running->warp->block->copies.push_back(std::move(copy));
}

}  // namespace emulation
