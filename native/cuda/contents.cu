#include "cuda/contents.h"

#include <cuda_runtime_api.h>

#include <memory>

#include "core/plan.h"
#include "core/status.h"
#include "core/validate.h"
#include "core/workspace.h"
#include "cuda/launch.h"

namespace flashdec::cuda {
namespace {

struct Place {
  const char* name;
  const void* pointer;
};

void check_place(const Place& given, int32_t device) {
  if (given.pointer == nullptr) return;
  cudaPointerAttributes place;
  check(cudaPointerGetAttributes(&place, given.pointer), "cudaPointerGetAttributes");
  if (place.type != cudaMemoryTypeDevice && place.type != cudaMemoryTypeManaged)
    refuse(FLASHDEC_WRONG_DEVICE, "%s is host memory at %p; the work runs on CUDA device %d",
           given.name, given.pointer, device);
  if (place.type == cudaMemoryTypeDevice && place.device != device)
    refuse(FLASHDEC_WRONG_DEVICE, "%s is memory of CUDA device %d; the work runs on device %d",
           given.name, place.device, device);
}

void check_pointers(const Launch& launch) {
  const Operands& x = launch.operands;
  const Place places[] = {
      {"q", x.q},
      {"k", x.k},
      {"v", x.v},
      {"o", x.o},
      {"lse", x.lse},
      {"kv_len", x.kv_len},
      {"page_table", x.page_table},
      {"status", x.status},
      {"workspace", launch.workspace.base},
  };
  for (const Place& each : places)
    check_place(each, launch.plan.device);
}

void check_pointers(const Append& a) {
  const Place places[] = {
      {"q", a.q},
      {"q_out", a.q_out},
      {"k", a.k},
      {"v", a.v},
      {"k_cache", a.k_cache},
      {"v_cache", a.v_cache},
      {"kv_len", a.kv_len},
      {"new_len", a.new_len},
      {"positions", a.positions},
      {"page_table", a.page_table},
      {"cos", a.cos},
      {"sin", a.sin},
      {"status", a.status},
  };
  for (const Place& each : places)
    check_place(each, a.device);
}

void check_prepared(const Launch& launch) {
  const auto bytes = static_cast<size_t>(launch.plan.workspace_bytes);
  std::unique_ptr<unsigned char[]> host(new unsigned char[bytes]);
  check(cudaMemcpyAsync(host.get(), launch.workspace.base, bytes, cudaMemcpyDeviceToHost,
                        launch.stream),
        "cudaMemcpyAsync");
  check(cudaStreamSynchronize(launch.stream), "cudaStreamSynchronize");
  for (size_t i = 0; i < bytes; ++i)
    if (host[i] != 0xff)
      refuse(FLASHDEC_INVALID_VALUE,
             "byte %zu of the prepared workspace is 0x%02x; it must be 0xff between runs, as "
             "flashdec_workspace_prepare leaves it",
             i, host[i]);
}

// Rows of `width` words, `stride` words apart on the device, packed on the host.
std::unique_ptr<int32_t[]> copy_rows(const int32_t* source, int64_t rows, int64_t width,
                                     int64_t stride, cudaStream_t stream) {
  std::unique_ptr<int32_t[]> host(new int32_t[static_cast<size_t>(rows * width)]);
  const size_t bytes = static_cast<size_t>(width) * sizeof(int32_t);
  for (int64_t row = 0; row < rows; ++row)
    check(cudaMemcpyAsync(host.get() + row * width, source + row * stride, bytes,
                          cudaMemcpyDeviceToHost, stream),
          "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  return host;
}

// A vector of words on the host, if there is one; the pointer then points there.
template <class Word>
std::unique_ptr<int32_t[]> take_words(Word*& words, int64_t count, cudaStream_t stream) {
  if (words == nullptr) return nullptr;
  std::unique_ptr<int32_t[]> host = copy_rows(words, 1, count, 0, stream);
  words = host.get();
  return host;
}

void refuse_capture(cudaStream_t stream) {
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &capturing), "cudaStreamIsCapturing");
  if (capturing != cudaStreamCaptureStatusNone)
    refuse(
        FLASHDEC_CUDA_ERROR,
        "the stream is capturing a graph; FLASHDEC_CHECK=1 synchronises, which a capture forbids");
}

}  // namespace

void check_contents(const Launch& launch) {
  if (!launch.plan.check_contents) return;
  const Problem& problem = launch.plan.problem;
  refuse_capture(launch.stream);
  check_pointers(launch);
  if (launch.operands.prepared_workspace) check_prepared(launch);
  Operands host = launch.operands;
  std::unique_ptr<int32_t[]> lengths, table;
  lengths = take_words(host.kv_len, problem.batch, launch.stream);
  if (host.page_table != nullptr) {
    const int64_t width = problem.table_width();
    table = copy_rows(host.page_table, problem.batch, width, host.page_table_stride, launch.stream);
    host.page_table = table.get();
    host.page_table_stride = width;
  }
  validate_contents(problem, host);
}

void check_contents(const Append& args, cudaStream_t stream) {
  if (!args.check_contents) return;
  refuse_capture(stream);
  check_pointers(args);
  Append host = args;
  const auto lengths = take_words(host.kv_len, args.batch, stream);
  const auto counts = take_words(host.new_len, args.batch, stream);
  const auto positions = take_words(host.positions, args.batch, stream);
  std::unique_ptr<int32_t[]> table;
  if (host.page_table != nullptr) {
    const int64_t width = ceil_div(args.max_kv_len, args.page_size);
    table = copy_rows(args.page_table, args.batch, width, args.page_table_stride, stream);
    host.page_table = table.get();
    host.page_table_stride = width;
  }
  validate_contents(host);
}

}  // namespace flashdec::cuda
