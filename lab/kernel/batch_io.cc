#include "lab/kernel/batch_io.h"

#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lab {
namespace {

// No errno: a transfer that nobody has carried out yet.
constexpr ssize_t kNotDone = -4096;

}  // namespace

struct BatchIo::Ring {
  explicit Ring(const io_uring& made) : ring(made) {}
  ~Ring() { ::io_uring_queue_exit(&ring); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  io_uring ring;
};

BatchIo::BatchIo() {
  io_uring ring{};
  const int result = ::io_uring_queue_init(kMostAtOnce, &ring, 0);
  if (result == 0) {
    ring_ = std::make_unique<Ring>(ring);
  } else {
    give_up_ring(-result);
  }
}

BatchIo::~BatchIo() = default;

void BatchIo::give_up_ring(int error) {
  ring_.reset();
  refusal_ = std::string("no io_uring: ") + std::strerror(error);  // NOLINT(concurrency-mt-unsafe)
}

void BatchIo::carry_out(Operation operation, std::span<Transfer> transfers) {
  for (Transfer& transfer : transfers) transfer.result = kNotDone;
  for (size_t first = 0; ring_ != nullptr && first < transfers.size(); first += kMostAtOnce) {
    carry_out_by_ring(operation, transfers.subspan(first, std::min(kMostAtOnce, transfers.size() - first)));
  }
  for (Transfer& transfer : transfers) {
    if (transfer.result != kNotDone) continue;
    transfer.result = operation == Operation::kRead ? ::read(transfer.fd, transfer.memory, transfer.length)
                                                    : ::write(transfer.fd, transfer.memory, transfer.length);
    if (transfer.result < 0) transfer.result = -errno;
  }
}

void BatchIo::carry_out_by_ring(Operation operation, std::span<Transfer> transfers) {
  for (size_t i = 0; i < transfers.size(); ++i) {
    const Transfer& transfer = transfers[i];
    io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_->ring);  // there are as many as a batch has at most
    const auto length = static_cast<unsigned>(transfer.length);
    if (operation == Operation::kRead) {
      ::io_uring_prep_read(entry, transfer.fd, transfer.memory, length, 0);
    } else {
      ::io_uring_prep_write(entry, transfer.fd, transfer.memory, length, 0);
    }
    // Without it the ring would wait for a descriptor that has nothing to read, non-blocking or not.
    entry->rw_flags = RWF_NOWAIT;
    ::io_uring_sqe_set_data64(entry, i);
  }
  bool supported = true;
  for (size_t done = 0; done < transfers.size();) {
    const auto missing = static_cast<unsigned>(transfers.size() - done);
    const int submitted = ::io_uring_submit_and_wait(&ring_->ring, missing);
    if (submitted < 0 && submitted != -EINTR) return give_up_ring(-submitted);
    unsigned count = 0;
    unsigned head = 0;
    io_uring_cqe* completion = nullptr;
    io_uring_for_each_cqe(&ring_->ring, head, completion) {
      const bool refused = completion->res == -EOPNOTSUPP;  // by a file that always waits
      supported = supported && !refused;
      transfers[completion->user_data].result = refused ? kNotDone : completion->res;
      ++count;
    }
    ::io_uring_cq_advance(&ring_->ring, count);
    done += count;
  }
  if (!supported) give_up_ring(EOPNOTSUPP);
}

}  // namespace lab
