// What the sanitizers' run-times do unless ASAN_OPTIONS or TSAN_OPTIONS says otherwise. Half of
// AddressSanitizer's cost is in keeping 30 frames of every allocation and 256 MB of freed memory; 6 frames
// and 16 MB, which is the freed memory of dozens of executions, find the same at a better rate. The first
// race ends a run, as any other find does.
#include <cstddef>

extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "malloc_context_size=6:quarantine_size_mb=16";
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
extern "C" {
// Called before ThreadSanitizer stands, so that nothing in it may call it.
__attribute__((disable_sanitizer_instrumentation)) const char* __tsan_default_options();
const char* __tsan_default_options() {
  return "halt_on_error=1";
}

// The counters of coverage, which every thread adds to and nobody orders. The linker knows where they lie,
// ThreadSanitizer's run-time whom to tell.
extern char __start___sancov_cntrs[];
extern char __stop___sancov_cntrs[];
void AnnotateBenignRaceSized(const char* file, int line, const volatile void* memory, size_t bytes,
                             const char* description);
}

namespace {
__attribute__((constructor, no_sanitize("coverage"))) void let_counters_race() {
  AnnotateBenignRaceSized(__FILE__, __LINE__, __start___sancov_cntrs,
                          static_cast<size_t>(__stop___sancov_cntrs - __start___sancov_cntrs), "coverage");
}
}  // namespace
#endif
#endif
