// The memory devices (mem(4), null(4), random(4)): character devices 1:3 null, 1:5 zero, 1:7 full, 1:8 random, 1:9 urandom.
#pragma once

namespace moat {

// Makes them known to open(2). Once, before guests run.
void RegisterMemoryDevices();

}  // namespace moat
