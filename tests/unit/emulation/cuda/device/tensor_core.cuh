// Warp-wide instructions on 16-bit matrices (PTX ISA, "Matrix Fragments for mma.m16n8k16", ldmatrix
// and movmatrix): a lane holds of every 8x8 matrix the two elements of row lane / 4 from column
// 2 (lane % 4) on.
#pragma once

#include "cuda/device/element.cuh"
#include "cuda/device/memory.cuh"
#include "cuda/device/warp.cuh"

namespace flashdec::cuda {

inline uint32_t pair_of(uint16_t low, uint16_t high) {
  return low | static_cast<uint32_t>(high) << 16;
}
inline uint16_t element_of(uint32_t pair, int index) {
  return static_cast<uint16_t>(pair >> 16 * index);
}

inline uint16_t matrix_element(const uint32_t* rows, int matrix, int row, int column) {
  uint16_t element;
  std::memcpy(&element, emulation::shared_at(rows[8 * matrix + row] + 2 * column, 2), 2);
  return element;
}

inline void load_matrices(uint32_t (&r)[4], uint32_t address) {
  const uint32_t* rows = emulation::bring("ldmatrix", address);
  const int g = emulation::this_lane() / 4, c = emulation::this_lane() % 4;
  for (int m = 0; m < 4; ++m)
    r[m] = pair_of(matrix_element(rows, m, g, 2 * c), matrix_element(rows, m, g, 2 * c + 1));
}

inline void load_matrices_transposed(uint32_t (&r)[4], uint32_t address) {
  const uint32_t* rows = emulation::bring("ldmatrix.trans", address);
  const int g = emulation::this_lane() / 4, c = emulation::this_lane() % 4;
  for (int m = 0; m < 4; ++m)
    r[m] = pair_of(matrix_element(rows, m, 2 * c, g), matrix_element(rows, m, 2 * c + 1, g));
}

inline uint32_t transpose_matrix(uint32_t value) {
  const uint32_t* all = emulation::bring("movmatrix", value);
  const int g = emulation::this_lane() / 4, c = emulation::this_lane() % 4;
  const auto at = [&](int row, int column) {
    return element_of(all[4 * row + column / 2], column % 2);
  };
  return pair_of(at(2 * c, g), at(2 * c + 1, g));
}

struct Operands16 {
  uint32_t a[4], b[2];
};

template <class E>
void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const Operands16* all = emulation::bring("mma", Operands16{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const auto value = [](uint32_t pair, int index) {
    E element;
    element.bits = element_of(pair, index);
    return static_cast<double>(to_float(element));
  };
  for (int i = 0; i < 4; ++i) {
    const int row = emulation::this_lane() / 4;
    const int column = 2 * (emulation::this_lane() % 4) + i % 2;
    double sum = c[i];
    for (int k = 0; k < 16; ++k) {
      const int pair = k % 8 / 2;
      const uint32_t left = all[4 * row + pair].a[i / 2 + 2 * (k / 8)];
      const uint32_t right = all[4 * column + pair].b[k / 8];
      sum += value(left, k % 2) * value(right, k % 2);
    }
    c[i] = static_cast<float>(sum);
  }
}

template <class E>
uint32_t pack(float low, float high) {
  E of[2];
  from_float(low, &of[0]);
  from_float(high, &of[1]);
  return pair_of(of[0].bits, of[1].bits);
}

inline float reciprocal_fast(float x) {
  return 1.0f / x;
}
inline float exp2_fast(float x) {
  return exp2f(x);
}

}  // namespace flashdec::cuda
