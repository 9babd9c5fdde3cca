// float16 and bfloat16, in plain C++: storage types, and conversions that round to nearest even.
#pragma once

#include <cstdint>
#include <cstring>

namespace flashdec {

struct Bf16 {
  uint16_t bits;
};

struct F16 {
  uint16_t bits;
};

static inline float float_from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

static inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

static inline float to_float(float value) {
  return value;
}

static inline float to_float(Bf16 value) {
  return float_from_bits(uint32_t{value.bits} << 16);
}

static inline float to_float(F16 value) {
  const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16;
  const uint32_t magnitude = value.bits & 0x7fffu;
  if (magnitude >= 0x7c00u)  // Inf and NaN: the exponent becomes all ones
    return float_from_bits(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  if (magnitude < 0x400u)  // zero and subnormals: a multiple of 2^-24, exact in float
    return float_from_bits(sign | bits_of(static_cast<float>(magnitude) * 0x1p-24f));
  return float_from_bits(sign | ((magnitude << 13) + (112u << 23)));
}

static inline void from_float(float value, float* target) {
  *target = value;
}

static inline void from_float(float value, Bf16* target) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {  // NaN: rounding could carry it into Inf
    target->bits = static_cast<uint16_t>((bits >> 16) | 0x40u);
    return;
  }
  target->bits = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline void from_float(float value, F16* target) {
  const uint32_t bits = bits_of(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;  // NaN
  } else if (magnitude >= 0x477ff000u) {
    half = 0x7c00u;  // 65520 and more round to Inf
  } else if (magnitude < 0x38800000u) {
    // Below 2^-14: adding 0.5 aligns the value to multiples of 2^-24 and rounds it there.
    half = bits_of(float_from_bits(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  target->bits = static_cast<uint16_t>(sign | half);
}

}  // namespace flashdec
