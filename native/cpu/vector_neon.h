// The vector type of body.h for NEON, which every aarch64 processor has.
#pragma once

#include <arm_neon.h>

#include "core/convert.h"

namespace flashdec::cpu {
namespace {

struct Neon {
  using F = float32x4_t;
  static constexpr int kWidth = 4;
  static constexpr int kAccumulators = 16;  // that leave registers for the operands

  static F zero() { return vdupq_n_f32(0.0f); }
  static F broadcast(float x) { return vdupq_n_f32(x); }
  static F broadcast(const float* p) { return vld1q_dup_f32(p); }
  static F load(const float* p) { return vld1q_f32(p); }
  static F load(const Bf16* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&p->bits), 16));
  }
  static F load(const F16* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&p->bits))); }
  static void load_pair(const float* p, F* a, F* b) {
    *a = load(p);
    *b = load(p + kWidth);
  }
  static void load_pair(const F16* p, F* a, F* b) {
    const float16x8_t both = vreinterpretq_f16_u16(vld1q_u16(&p->bits));
    *a = vcvt_f32_f16(vget_low_f16(both));
    *b = vcvt_high_f32_f16(both);
  }
  static void load_pair(const Bf16* p, F* a, F* b) {
    const uint32x4_t both = vreinterpretq_u32_u16(vld1q_u16(&p->bits));
    *a = vreinterpretq_f32_u32(vshlq_n_u32(both, 16));
    *b = vreinterpretq_f32_u32(vandq_u32(both, vdupq_n_u32(0xffff0000u)));
  }
  static void interleave(F* a, F* b) {
    const F first = vzip1q_f32(*a, *b);
    *b = vzip2q_f32(*a, *b);
    *a = first;
  }

  static void store(float* p, F x) { vst1q_f32(p, x); }
  static void store(F16* p, F x) { vst1_u16(&p->bits, vreinterpret_u16_f16(vcvt_f16_f32(x))); }
  static void store(Bf16* p, F x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t lsb = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(lsb, vdupq_n_u32(0x7fff)));
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    vst1_u16(&p->bits, vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16));
  }

  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F div(F a, F b) { return vdivq_f32(a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  // b if either is NaN, as on x86: FMAX gives NaN for either, FMAXNM for neither.
  static F max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static float reduce_add(F x) {
    const float32x2_t two = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static float reduce_max(F x) {
    const F two = max(x, vextq_f32(x, x, 2));
    return vgetq_lane_f32(max(two, vextq_f32(two, two, 1)), 0);
  }

  static bool any_above(F x, float bound) {
    return vmaxvq_u32(vcgtq_f32(x, broadcast(bound))) != 0;
  }

  static F nan_to_zero(F x) {
    return vreinterpretq_f32_u32(vandq_u32(vceqq_f32(x, x), vreinterpretq_u32_f32(x)));
  }

  // x - floor(x), in [0, 1) for -inf as well; of NaN NaN.
  static F above_floor(F x) { return sub(bounded(x), vrndmq_f32(bounded(x))); }
  // x * 2^floor(n) for n < 129; underflows to 0 and keeps NaN.
  static F scale_by_floor(F x, F n) {
    const F floor = vrndmq_f32(bounded(n));
    const int32x4_t exponent = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(floor), vdupq_n_s32(127)), 23);
    const uint32x4_t scaled = vreinterpretq_u32_f32(mul(x, vreinterpretq_f32_s32(exponent)));
    const uint32x4_t tiny = vcltq_f32(floor, broadcast(-126.0f));  // false for NaN
    return vreinterpretq_f32_u32(vbicq_u32(scaled, tiny));
  }

  // Lane i of the result is the sum of the lanes of x[i], added in the same order for every i.
  static F transpose_sum(const F (&x)[4]) {
    return vpaddq_f32(vpaddq_f32(x[0], x[1]), vpaddq_f32(x[2], x[3]));
  }

 private:
  // 2^-200 is 0 already; the order of the operands keeps NaN.
  static F bounded(F x) { return max(broadcast(-200.0f), x); }
};

}  // namespace
}  // namespace flashdec::cpu
