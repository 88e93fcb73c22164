/* frames_raii.cc - a phase as an object: its scope is the life of what was allocated in it. */
#include <cinttypes>
#include <cstdio>
#include <map>
#include <string>

#include <sluice/sluice.hpp>

int main()
{
    if (sluice_init("frames.yaml") != SLUICE_OK) {
        std::fprintf(stderr, "%s\n", sluice_error_message());
        return 1;
    }
    const sluice_module tracking = sluice::register_module("tracking");
    struct sluice_module_stats held = {};
    held.struct_size = sizeof held;
    for (int i = 0; i < 3; i++) {
        sluice::phase frame("frame");
        frame.on_end([i] { std::printf("frame %d goes\n", i); });
        sluice::phase::scope inside(frame);
        sluice::memory_resource resource(tracking);
        /* Never destroyed: its memory goes with the frame, all nodes at once. */
        auto *seen = new (sluice_malloc(tracking, sizeof(std::pmr::map<int, std::pmr::string>)))
            std::pmr::map<int, std::pmr::string>(&resource);
        for (int n = 0; n < 1000; n++)
            seen->emplace(n, "a string that is too long to lie within the object itself");
        sluice_stats_module(tracking, &held);
        std::printf("in frame %d: %" PRIu64 " objects\n", i, held.live_objects);
    }
    sluice_stats_module(tracking, &held);
    std::printf("at the end: %" PRIu64 "\n", held.live_objects);
}
