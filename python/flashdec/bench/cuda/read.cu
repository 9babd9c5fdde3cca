// What a plain read of a cache takes: the limit beside every time of `flashdec bench` on a GPU.
//
// 16-byte loads, 8 in flight in every thread, none of them kept in L1.  The blocks go over the
// cache together.  The bench compiles this when it runs, with these sizes defined in front:
//   ROW    16-byte vectors in a row of one head
//   HEADS  key/value heads
//   PAGE   tokens in a page

constexpr int flight = 8;  // the second launch bound leaves registers for all of them

__device__ uint4 load(const uint4* at) {
  uint4 found;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(found.x), "=r"(found.y), "=r"(found.z), "=r"(found.w)
               : "l"(at));
  return found;
}

__device__ unsigned fold(const uint4 (&parts)[flight]) {
  unsigned sum = 0;
#pragma unroll
  for (const uint4& part : parts)
    sum ^= part.x ^ part.y ^ part.z ^ part.w;
  return sum;
}

// Nobody can prove that a sum never has this value, so every load has to be made.
__device__ void use(unsigned sum, unsigned* sink) {
  if (sum == 0x5bd1e995u) *sink = sum;
}

// K and V, one after the other, from end to end.
extern "C" __global__ void __launch_bounds__(512, 1)
    read_linear(const uint4* cache, long long vectors, unsigned* sink) {
  const long long step = blockDim.x * flight;
  unsigned sum = 0;
  for (long long first = blockIdx.x * step; first < vectors; first += gridDim.x * step) {
    uint4 parts[flight];
#pragma unroll
    for (int i = 0; i < flight; ++i)
      parts[i] = load(cache + min(first + threadIdx.x + i * blockDim.x, vectors - 1));
    sum ^= fold(parts);
  }
  use(sum, sink);
}

constexpr unsigned page_vectors = 2 * HEADS * PAGE * ROW;

__device__ int page_of(const int* pages, unsigned vector) {
  int page;
  asm volatile("ld.global.nc.u32 %0, [%1];" : "=r"(page) : "l"(pages + vector / page_vectors));
  return page;
}

// Within a page: a head's rows of K, its rows of V, then the next head's.
__device__ const uint4* place(const uint4* k, const uint4* v, int page, unsigned vector) {
  const unsigned row = vector / ROW, block = row / PAGE;
  const unsigned head = block / 2 % HEADS;
  const long long token = static_cast<long long>(page) * PAGE + row % PAGE;
  return (block % 2 ? v : k) + (token * HEADS + head) * ROW + vector % ROW;
}

// The same bytes in the order of the page table.  The ids of the next pages are fetched while the
// rows of these are under way.
extern "C" __global__ void __launch_bounds__(512, 1)
    read_pages(const uint4* k, const uint4* v, const int* pages, long long vectors,
               unsigned* sink) {
  const unsigned step = blockDim.x * flight, last = static_cast<unsigned>(vectors) - 1;
  unsigned sum = 0;
  int page[flight];
#pragma unroll
  for (int i = 0; i < flight; ++i)
    page[i] = page_of(pages, min(blockIdx.x * step + threadIdx.x + i * blockDim.x, last));
  for (unsigned first = blockIdx.x * step; first <= last; first += gridDim.x * step) {
    uint4 parts[flight];
#pragma unroll
    for (int i = 0; i < flight; ++i)
      parts[i] = load(place(k, v, page[i], min(first + threadIdx.x + i * blockDim.x, last)));
    const unsigned next = first + gridDim.x * step;
#pragma unroll
    for (int i = 0; i < flight; ++i)
      page[i] = page_of(pages, min(next + threadIdx.x + i * blockDim.x, last));
    sum ^= fold(parts);
  }
  use(sum, sink);
}

// What any launch takes.
extern "C" __global__ void empty() {}
