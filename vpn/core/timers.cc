#include "vpn/core/timers.h"

#include <algorithm>

namespace vpn::core {

Instant TimerTable::earliest() const noexcept {
  return *std::min_element(deadlines_.begin(), deadlines_.end());
}

std::optional<Timer> TimerTable::take_due(Instant now) noexcept {
  for (size_t index = 0; index < kTimerCount; ++index) {
    if (deadlines_[index] > now) continue;
    deadlines_[index] = Instant::max();
    return static_cast<Timer>(index);
  }
  return std::nullopt;
}

void TimerQueue::schedule(Entry& entry, Instant at) {
  if (entry.position == kAbsent) {
    heap_.push_back(&entry);
    entry.key = at;
    place(heap_.size() - 1, &entry);
    sift_up(entry.position);
  } else if (at < entry.key) {
    entry.key = at;
    sift_up(entry.position);
  }
}

void TimerQueue::remove(Entry& entry) noexcept {
  const size_t hole = entry.position;
  if (hole == kAbsent) return;
  entry.position = kAbsent;
  Entry* last = heap_.back();
  heap_.pop_back();
  if (hole == heap_.size()) return;
  place(hole, last);
  sift_up(hole);
  sift_down(last->position);
}

void TimerQueue::place(size_t position, Entry* entry) noexcept {
  heap_[position] = entry;
  entry->position = position;
}

void TimerQueue::sift_up(size_t position) noexcept {
  Entry* moving = heap_[position];
  while (position > 0) {
    const size_t parent = (position - 1) / 2;
    if (heap_[parent]->key <= moving->key) break;
    place(position, heap_[parent]);
    position = parent;
  }
  place(position, moving);
}

void TimerQueue::sift_down(size_t position) noexcept {
  Entry* moving = heap_[position];
  while (true) {
    size_t child = 2 * position + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->key < heap_[child]->key) ++child;
    if (moving->key <= heap_[child]->key) break;
    place(position, heap_[child]);
    position = child;
  }
  place(position, moving);
}

}  // namespace vpn::core
