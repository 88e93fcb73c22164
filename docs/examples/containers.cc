/* containers.cc - standard containers whose memory counts for a module. */
#include <iostream>
#include <memory_resource>
#include <string>
#include <vector>

#include <sluice/sluice.hpp>

int main()
{
    const sluice_module tables = sluice::register_module("tables");

    std::vector<int, sluice::allocator<int>> numbers{sluice::allocator<int>(tables)};
    numbers.assign(1000, 42);

    sluice::memory_resource resource(tables);
    std::pmr::vector<std::pmr::string> names{&resource};
    names.emplace_back("a string that is too long to be kept inside of its object");

    sluice_module_stats held = {};
    held.struct_size = sizeof held;
    sluice_stats_module(tables, &held);
    std::cout << "tables: " << held.live_objects << " objects\n";
}
