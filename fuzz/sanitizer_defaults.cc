// What the sanitizers' run-times do unless ASAN_OPTIONS says otherwise. Half of AddressSanitizer's cost is in
// keeping 30 frames of every allocation and 256 MB of freed memory; 6 frames and 16 MB, which is the freed
// memory of dozens of executions, find the same at a better rate.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "malloc_context_size=6:quarantine_size_mb=16";
}
