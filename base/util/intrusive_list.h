// A doubly linked list through nodes that live in their elements: no allocation, O(1) removal by element.
// An element may sit in as many lists as it has nodes; a node unlinks itself when destroyed.
#pragma once

#include <cstddef>

namespace moat {

class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { Unlink(); }

  bool linked() const { return next_ != this; }
  void Unlink() {
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = this;
  }

 private:
  template <class T, ListNode T::*> friend class IntrusiveList;
  void InsertBefore(ListNode* pos) {
    prev_ = pos->prev_;
    next_ = pos;
    prev_->next_ = this;
    pos->prev_ = this;
  }
  ListNode* prev_ = this;
  ListNode* next_ = this;
};

// IntrusiveList<Task, &Task::children_node>. Not thread safe; the owner's lock guards it.
template <class T, ListNode T::*Member>
class IntrusiveList {
 public:
  class Iterator {
   public:
    explicit Iterator(ListNode* n) : n_(n) {}
    T& operator*() const { return *FromNode(n_); }
    T* operator->() const { return FromNode(n_); }
    Iterator& operator++() { n_ = n_->next_; return *this; }
    bool operator!=(const Iterator& o) const { return n_ != o.n_; }
    bool operator==(const Iterator& o) const { return n_ == o.n_; }

   private:
    ListNode* n_;
  };

  bool empty() const { return !head_.linked(); }
  void PushBack(T& t) { (t.*Member).InsertBefore(&head_); }
  void PushFront(T& t) { (t.*Member).InsertBefore(head_.next_); }
  T* front() { return empty() ? nullptr : FromNode(head_.next_); }
  // The element after `t`, or null at the end.
  T* Next(T& t) { ListNode* n = (t.*Member).next_; return n == &head_ ? nullptr : FromNode(n); }
  T* PopFront() {
    T* t = front();
    if (t) (t->*Member).Unlink();
    return t;
  }
  Iterator begin() { return Iterator(head_.next_); }
  Iterator end() { return Iterator(&head_); }

 private:
  static T* FromNode(ListNode* n) {
    // The offset of a data member, from its pointer-to-member (Itanium ABI: the byte offset).
    union { ListNode T::*member; ptrdiff_t offset; } u{Member};
    return reinterpret_cast<T*>(reinterpret_cast<char*>(n) - u.offset);
  }
  ListNode head_;
};

}  // namespace moat
