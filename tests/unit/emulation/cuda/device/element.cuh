// The 16-bit types.
#pragma once

#include "core/convert.h"

using __nv_bfloat16 = flashdec::Bf16;
using __half = flashdec::F16;
