// operators.cc - C++'s operator new and delete in all forms, in a program or a library that knows nothing of Sluice.
// As a library, operators_run() is called by a program in C.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

static int failed;

static void expect(const char *what, bool holds)
{
    if (!holds) {
        std::printf("FAILED: %s\n", what);
        failed = 1;
    }
}

static volatile std::size_t huge = (std::size_t)-1 / 4;
static int handled;

static void handler()
{
    if (++handled == 3)
        std::set_new_handler(nullptr);
}

struct alignas(256) wide {
    char bytes[300];
};

struct counted {
    static int destroyed;
    ~counted()
    {
        destroyed++;
    }
    char bytes[40];
};
int counted::destroyed;

template <typename F> static bool throws_bad_alloc(F f)
{
    try {
        f();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void *volatile sink;

static void forms()
{
    for (int i = 0; i < 100; i++) {
        int *one = new int(i);
        expect("new", *one == i);
        delete one;
        char *many = new char[(std::size_t)i * 1000];
        many[0] = 1;
        delete[] many;
        wide *aligned = new wide, *row = new wide[3];
        expect("aligned new", reinterpret_cast<std::uintptr_t>(aligned) % 256 == 0);
        expect("aligned new[]", reinterpret_cast<std::uintptr_t>(row) % 256 == 0);
        delete aligned;
        delete[] row;
        int *quiet = new (std::nothrow) int(5), *quiet_row = new (std::nothrow) int[10];
        expect("nothrow", quiet != nullptr && quiet_row != nullptr && *quiet == 5);
        delete quiet;
        delete[] quiet_row;
        auto alignment = static_cast<std::align_val_t>(64);
        void *raw = ::operator new(100, alignment, std::nothrow);
        expect("aligned nothrow",
               raw != nullptr && reinterpret_cast<std::uintptr_t>(raw) % 64 == 0);
        ::operator delete(raw, 100, alignment);
        raw = ::operator new[](100, alignment);
        ::operator delete[](raw, alignment, std::nothrow);
        raw = ::operator new(0);
        expect("new of nothing", raw != nullptr);
        ::operator delete(raw, std::nothrow);
        ::operator delete(nullptr);
    }
    counted *row = new counted[7];
    delete[] row;
    expect("destructors", counted::destroyed == 7);
    std::vector<std::string> words;
    for (int i = 0; i < 1000; i++)
        words.push_back(std::string((std::size_t)i, 'x'));
    expect("containers", words[999].size() == 999);
}

static void failures()
{
    expect("new throws", throws_bad_alloc([] { sink = ::operator new(huge); }));
    expect("new[] throws", throws_bad_alloc([] { sink = ::operator new[](huge); }));
    expect("aligned new throws", throws_bad_alloc([] {
               sink = ::operator new(huge, static_cast<std::align_val_t>(64));
           }));
    expect("nothrow does not", ::operator new(huge, std::nothrow) == nullptr);
    expect("nor aligned",
           ::operator new(huge, static_cast<std::align_val_t>(64), std::nothrow) == nullptr);
    handled = 0;
    std::set_new_handler(handler);
    expect("new throws after the handler gave up",
           throws_bad_alloc([] { sink = ::operator new(huge); }));
    expect("the handler was called until then", handled == 3);
    handled = 0;
    std::set_new_handler(handler);
    expect("nothrow calls it, too", ::operator new(huge, std::nothrow) == nullptr &&handled == 3);
    // A handler may throw itself.
    std::set_new_handler([] { throw std::bad_alloc(); });
    expect("a handler that throws", throws_bad_alloc([] { sink = ::operator new(huge); }));
    std::set_new_handler(nullptr);
}

extern "C" int operators_run()
{
    forms();
    failures();
    return failed;
}

#ifndef AS_LIBRARY
int main()
{
    return operators_run();
}
#endif
