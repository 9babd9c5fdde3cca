// Functions that the planner, the CPU kernels and the device share.
//
// Internal linkage, because they are also compiled with the flags of one instruction set: a weak
// copy of such a function could be the one that the linker keeps for every processor.
#pragma once

#ifdef __CUDACC__
#define FLASHDEC_INLINE static inline __host__ __device__
#define FLASHDEC_MEMBER __host__ __device__
#else
#define FLASHDEC_INLINE static inline
#define FLASHDEC_MEMBER
#endif
