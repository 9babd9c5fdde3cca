// Readers of other libraries' arrays: a DLTensor, an exchange table's object, a capsule.
#pragma once

#include "flashdec_dlpack.h"

namespace flashdec {

using Array = flashdec_array;

// `name` is that of the argument, for refusals.  Extents and strides beyond ndim are not written:
// zeroing them would take longer than the reading.
void read_tensor(const DLTensor& tensor, const char* name, Array* array);
void read_object(const flashdec_object& object, const char* name, Array* array);

// The current stream of the library that `reader` belongs to; false if it does not say.
bool current_stream(const flashdec_object_reader& reader, int32_t device, CUstream_st** stream);

}  // namespace flashdec
