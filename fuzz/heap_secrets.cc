// libsodium's guarded memory on the sanitizer's heap, put in front of libsodium's own by the linker (--wrap):
// a page of its own with guards costs a dozen system calls a key, and AddressSanitizer guards the heap as
// well.
#include <malloc.h>
#include <sodium.h>

#include <cstdlib>

extern "C" {
void* __wrap_sodium_malloc(size_t size);
void __wrap_sodium_free(void* memory);
}

void* __wrap_sodium_malloc(size_t size) {
  return std::malloc(size);
}

void __wrap_sodium_free(void* memory) {
  if (memory != nullptr) sodium_memzero(memory, malloc_usable_size(memory));
  std::free(memory);
}
