/* sluice_hpp_test.cc - sluice.hpp: containers and std::pmr on modules. */
#include <sluice/sluice.hpp>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <list>
#include <map>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace
{

int passed, failed;

void expect(bool holds, const char *what, int line)
{
    if (holds) {
        passed++;
        return;
    }
    failed++;
    std::printf("sluice_hpp_test.cc:%d: %s\n", line, what);
}

#define EXPECT(condition) expect((condition), #condition, __LINE__)

template <typename Exception, typename Call> bool throws(Call call)
{
    try {
        call();
    } catch (const Exception &) {
        return true;
    } catch (...) {
    }
    return false;
}

template <typename T> using vector = std::vector<T, sluice::allocator<T>>;

/* Whose memory an object is; SLUICE_MODULE_INVALID: nobody's. */
sluice_module owner_of(const void *p)
{
    struct sluice_owner owner = {}; /* the function of that name hides the type */
    owner.struct_size = sizeof owner;
    return sluice_owner(p, &owner) == SLUICE_OK ? owner.module : SLUICE_MODULE_INVALID;
}

std::uint64_t live_objects(sluice_module module)
{
    sluice_module_stats stats = {};
    stats.struct_size = sizeof stats;
    sluice_stats_module(module, &stats);
    return stats.live_objects;
}

bool is_aligned(const void *p, std::size_t alignment)
{
    return (reinterpret_cast<std::uintptr_t>(p) & (alignment - 1)) == 0;
}

struct alignas(256) line {
    unsigned char bytes[256];
};

const sluice_module red = sluice::register_module("red");
const sluice_module blue = sluice::register_module(std::string("blue"));

void modules()
{
    EXPECT(red != blue && red != SLUICE_MODULE_DEFAULT);
    EXPECT(sluice::register_module("red") == red);
    EXPECT(sluice::register_module("default") == SLUICE_MODULE_DEFAULT);
    EXPECT(throws<std::invalid_argument>([] { sluice::register_module(""); }));
    EXPECT(throws<std::invalid_argument>([] { sluice::register_module(std::string(256, 'x')); }));
    EXPECT(throws<std::invalid_argument>([] { sluice::register_module(std::string("a\0b", 3)); }));
}

void equality()
{
    EXPECT(sluice::allocator<int>(red) == sluice::allocator<char>(red));
    EXPECT(sluice::allocator<int>(red) != sluice::allocator<int>(blue));
    EXPECT(sluice::allocator<int>().module() == SLUICE_MODULE_DEFAULT);
    EXPECT(sluice::allocator<int>(sluice::allocator<line>(blue)).module() == blue);

    sluice::memory_resource one(red), same(red), other(blue), none;
    EXPECT(one == one);
    EXPECT(one == same);
    EXPECT(one != other);
    EXPECT(one != none);
    EXPECT(one != *std::pmr::new_delete_resource());
    EXPECT(*std::pmr::new_delete_resource() != one);
}

void containers()
{
    std::uint64_t before = live_objects(red);
    {
        vector<int> numbers{sluice::allocator<int>(red)};
        for (int i = 0; i < 10000; i++)
            numbers.push_back(i);
        EXPECT(owner_of(numbers.data()) == red);
        EXPECT(numbers[9999] == 9999);

        using pair = std::pair<const int, int>;
        std::map<int, int, std::less<int>, sluice::allocator<pair>> tree{
            sluice::allocator<pair>(red)};
        for (int i = 0; i < 1000; i++)
            tree[i] = i;
        EXPECT(live_objects(red) >= before + 1001);
    }
    EXPECT(live_objects(red) == before);
}

void propagation()
{
    using traits = std::allocator_traits<sluice::allocator<int>>;
    static_assert(!traits::propagate_on_container_copy_assignment::value, "see sluice.hpp");
    static_assert(traits::propagate_on_container_move_assignment::value, "see sluice.hpp");
    static_assert(traits::propagate_on_container_swap::value, "see sluice.hpp");
    static_assert(!traits::is_always_equal::value, "modules differ");
    static_assert(std::is_nothrow_move_assignable<vector<int>>::value, "moving copies nothing");

    vector<int> a(100, 1, sluice::allocator<int>(red)), b(100, 2, sluice::allocator<int>(blue));
    vector<int> copy(a);
    EXPECT(owner_of(copy.data()) == red);
    b = a;
    EXPECT(owner_of(b.data()) == blue && b[0] == 1 && b.get_allocator().module() == blue);

    const int *data = a.data();
    b = std::move(a);
    EXPECT(b.data() == data && owner_of(b.data()) == red && b.get_allocator().module() == red);
    b.push_back(3); /* grows where it moved to */
    EXPECT(owner_of(b.data()) == red);

    vector<int> c(10, 3, sluice::allocator<int>(blue));
    b.swap(c);
    EXPECT(b.get_allocator().module() == blue && b.size() == 10 && c.size() == 101);
    EXPECT(owner_of(b.data()) == blue && owner_of(c.data()) == red);

    std::list<int, sluice::allocator<int>> first({1, 2}, sluice::allocator<int>(red)),
        second({3}, sluice::allocator<int>(red));
    first.splice(first.end(), second);
    EXPECT(first.size() == 3);
}

void alignment()
{
    vector<line> lines(33, line{}, sluice::allocator<line>(red));
    EXPECT(is_aligned(lines.data(), 256));
    sluice::memory_resource resource(red);
    for (std::size_t a = 1; a <= 65536; a *= 2) {
        void *p = resource.allocate(100, a);
        EXPECT(is_aligned(p, a) && owner_of(p) == red);
        std::memset(p, 1, 100);
        resource.deallocate(p, 100, a);
    }
    void *nothing = resource.allocate(0, 1);
    EXPECT(nothing != nullptr);
    resource.deallocate(nothing, 0, 1);
    int *no_ints = sluice::allocator<int>(red).allocate(0);
    EXPECT(no_ints != nullptr);
    sluice::allocator<int>(red).deallocate(no_ints, 0);
}

void pmr()
{
    std::uint64_t before = live_objects(blue);
    {
        sluice::memory_resource resource(blue);
        std::pmr::vector<std::pmr::string> names{&resource};
        for (int i = 0; i < 200; i++)
            names.emplace_back("a name too long to be kept inside of the string " +
                               std::to_string(i));
        EXPECT(owner_of(names.data()) == blue);
        EXPECT(owner_of(names[7].data()) == blue); /* the strings got the resource, too */

        std::pmr::unordered_map<int, std::pmr::string> map{&resource};
        for (int i = 0; i < 500; i++)
            map[i] = names[0];
        EXPECT(owner_of(map[3].data()) == blue);
        EXPECT(live_objects(blue) > before + 1000);

        std::pmr::vector<std::pmr::string> copy(names, &resource);
        EXPECT(copy == names && owner_of(copy.data()) == blue);
    }
    EXPECT(live_objects(blue) == before);
}

void failures()
{
    sluice::allocator<int> ints(red);
    sluice::allocator<line> lines(red);
    sluice::memory_resource resource(red);
    volatile std::size_t huge = SIZE_MAX; /* keeps the compiler from warning of it */
    EXPECT(throws<std::bad_array_new_length>([&] { (void)ints.allocate(huge / 4); }));
    EXPECT(throws<std::bad_array_new_length>([&] { (void)lines.allocate(huge); }));
    EXPECT(throws<std::bad_alloc>([&] { (void)ints.allocate(huge / 8 - 100); }));
    EXPECT(throws<std::bad_alloc>([&] { (void)resource.allocate(huge, 16); }));
    EXPECT(throws<std::bad_alloc>([&] { (void)resource.allocate(huge - 100, 4096); }));
    EXPECT(throws<std::bad_alloc>([&] { (void)resource.allocate(16, std::size_t(1) << 40); }));
    EXPECT(throws<std::bad_alloc>(
        [] { (void)sluice::allocator<int>(SLUICE_MODULE_INVALID).allocate(1); }));

    /* A limit is an exception, too, and what was there stays. */
    static const char policy[] = "sluice: 1\n"
                                 "modules:\n"
                                 "  red: {route: pool, limit: {hard: 4MiB}}\n";
    EXPECT(sluice_policy_load_string(policy, sizeof policy - 1) == SLUICE_OK);
    vector<int> growing(1000, 7, sluice::allocator<int>(red));
    EXPECT(throws<std::bad_alloc>([&] {
        for (;;)
            growing.push_back(7);
    }));
    EXPECT(growing.size() >= 1000 && growing[999] == 7);
}

void phases()
{
    static const char policy[] = "sluice: 1\ndefault: pool\n"
                                 "phases:\n  frame: {modules: [framed], backend: pool}\n";
    EXPECT(sluice_policy_load_string(policy, sizeof policy - 1) == SLUICE_OK);
    EXPECT(throws<std::out_of_range>([] { sluice::phase unknown("frames"); }));
    const sluice_module framed = sluice::register_module("framed");
    struct sluice_module_stats stats = {};
    stats.struct_size = sizeof stats;
    std::string order;
    {
        sluice::phase outer("frame");
        sluice::phase::scope inside(outer);
        sluice::phase moved = sluice::phase("frame");
        moved.on_end([&order] { order += "first"; });
        moved.on_end([&order] { order += "second "; });
        EXPECT(throws<std::logic_error>([&outer] { outer.end(); }));
        for (int i = 0; i < 1000; i++)
            EXPECT(sluice_malloc(framed, 100) != nullptr);
        EXPECT(sluice_stats_module(framed, &stats) == SLUICE_OK && stats.live_objects == 1000);
        moved.end();
        moved.end();
        EXPECT(order == "second first");
        EXPECT(throws<std::logic_error>([&moved] { moved.on_end([] {}); }));
        EXPECT(sluice_stats_module(framed, &stats) == SLUICE_OK && stats.live_objects == 1000);
    }
    EXPECT(sluice_stats_module(framed, &stats) == SLUICE_OK && stats.live_objects == 0);
}

} // namespace

int main()
{
    modules();
    equality();
    containers();
    propagation();
    alignment();
    pmr();
    failures();
    phases();
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
