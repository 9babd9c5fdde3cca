// What the kernels' host code needs of the runtime's header.
#pragma once

struct CUstream_st;
using cudaStream_t = CUstream_st*;
enum cudaError_t { cudaSuccess = 0 };
