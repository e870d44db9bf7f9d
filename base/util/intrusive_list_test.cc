#include "base/util/intrusive_list.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace moat {
namespace {

struct Item {
  explicit Item(int id) : id(id) {}
  virtual ~Item() = default;  // a vtable in front: the node's offset must be right all the same
  int id;
  ListNode by_age;
  ListNode by_name;
};
using ByAge = IntrusiveList<Item, &Item::by_age>;
using ByName = IntrusiveList<Item, &Item::by_name>;

std::vector<int> Ids(ByAge& list) {
  std::vector<int> ids;
  for (Item& item : list) ids.push_back(item.id);
  return ids;
}

TEST(IntrusiveList, KeepsOrder) {
  Item a(1), b(2), c(3);
  ByAge list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
  EXPECT_EQ(list.PopFront(), nullptr);
  list.PushBack(b);
  list.PushBack(c);
  list.PushFront(a);
  EXPECT_EQ(Ids(list), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(list.front(), &a);
  EXPECT_EQ(list.Next(a), &b);
  EXPECT_EQ(list.Next(c), nullptr);
  EXPECT_EQ(list.PopFront(), &a);
  EXPECT_FALSE(a.by_age.linked());
  EXPECT_EQ(Ids(list), (std::vector<int>{2, 3}));
}

TEST(IntrusiveList, ElementsLeaveFromAnywhereAndWhenTheyDie) {
  ByAge list;
  Item a(1), c(3);
  list.PushBack(a);
  {
    Item b(2);
    list.PushBack(b);
    list.PushBack(c);
    EXPECT_EQ(Ids(list), (std::vector<int>{1, 2, 3}));
  }
  EXPECT_EQ(Ids(list), (std::vector<int>{1, 3}));
  a.by_age.Unlink();
  a.by_age.Unlink();  // again: nothing to do
  EXPECT_EQ(Ids(list), (std::vector<int>{3}));
}

TEST(IntrusiveList, NodesOfOneElementAreIndependent) {
  Item a(1), b(2);
  ByAge ages;
  ByName names;
  ages.PushBack(a);
  ages.PushBack(b);
  names.PushBack(b);
  names.PushBack(a);
  EXPECT_EQ(names.front(), &b);
  ages.PopFront();
  EXPECT_EQ(names.Next(b), &a);
  EXPECT_EQ(ages.front(), &b);
}

TEST(IntrusiveList, AListMayDieBeforeItsElements) {
  Item a(1), b(2);
  {
    ByAge list;
    list.PushBack(a);
    list.PushBack(b);
  }
  a.by_age.Unlink();
  b.by_age.Unlink();
  EXPECT_FALSE(a.by_age.linked());
  EXPECT_FALSE(b.by_age.linked());
}

}  // namespace
}  // namespace moat
