/* sluice.hpp - C++17 containers, std::pmr and phases on Sluice's modules. Header only.
 *
 *     static const sluice_module tables = sluice::register_module("tables");
 *
 *     std::vector<Row, sluice::allocator<Row>> rows{sluice::allocator<Row>(tables)};
 *
 *     sluice::memory_resource resource(tables);
 *     std::pmr::unordered_map<int, std::pmr::string> index{&resource};
 *
 *     sluice::phase frame("frame");           // begins an instance; its destructor ends it
 *     sluice::phase::scope inside(frame);     // this thread allocates in it
 *
 * The first two are handles: they hold a module's number and no memory. They may be copied freely, destroyed before the objects
 * that they made (a memory_resource excepted: containers keep a pointer to it), and used by several threads at once.
 *
 * Equality: two handles are equal when they name the same module. Sluice frees an object of any module without being
 * told which, so handles that differ can still free each other's memory; they compare unequal so that containers never
 * let memory of one module slip silently into the account of another. What containers then do:
 *
 *     allocator         copy construction   the copy is in the module of the original
 *                       copy assignment     the target stays in its module; elements are copied
 *                       move, swap          the memory moves as it is, its module with it; nothing is copied
 *     memory_resource   as std::pmr says: a copy goes to the default resource unless one is given, and a container keeps
 *                       its resource for life. Moving between two resources copies element by element; swapping two
 *                       containers whose resources differ is undefined.
 *
 * Errors: what cannot be had throws std::bad_alloc, a count whose size in bytes overflows std::bad_array_new_length.
 * sluice_error_message() is of the C calls; a refused allocation sets errno to ENOMEM. Without exceptions
 * (-fno-exceptions) the program is aborted instead.
 */
#ifndef SLUICE_SLUICE_HPP
#define SLUICE_SLUICE_HPP

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <sluice/sluice.h>

namespace sluice
{

namespace detail
{

/* What sluice_malloc() aligns to. */
inline constexpr std::size_t natural_alignment = 16;

template <typename Exception, typename... Arguments>
[[noreturn]] inline void raise(Arguments... arguments)
{
#if defined(__cpp_exceptions)
    throw Exception(arguments...);
#else
    (static_cast<void>(arguments), ...);
    std::abort();
#endif
}

inline void *allocate(sluice_module module, std::size_t bytes, std::size_t alignment)
{
    void *p = alignment <= natural_alignment ? sluice_malloc(module, bytes)
                                             : sluice_aligned_alloc(module, alignment, bytes);
    if (p == nullptr)
        raise<std::bad_alloc>();
    return p;
}

} // namespace detail

/* sluice_module_register() for C++: finds or registers the module of that name.
 * Throws std::invalid_argument (the name is not 1 to 255 bytes, or has control characters), std::length_error (16,384
 * modules exist), std::bad_alloc. */
inline sluice_module register_module(const char *name)
{
    sluice_module module = sluice_module_register(name);
    if (module != SLUICE_MODULE_INVALID)
        return module;
    if (errno == EINVAL)
        detail::raise<std::invalid_argument>(sluice_error_message());
    if (errno == ENOSPC)
        detail::raise<std::length_error>(sluice_error_message());
    detail::raise<std::bad_alloc>();
}

inline sluice_module register_module(const std::string &name)
{
    /* A name ends at its first NUL for Sluice: one inside would silently be another name. */
    if (name.find('\0') != std::string::npos)
        detail::raise<std::invalid_argument>("a module's name has no NUL byte");
    return register_module(name.c_str());
}

/* An allocator as containers want it, for objects of type T in one module. Alignments beyond 16 bytes are kept.
 * Any thread. */
template <typename T> class allocator
{
  public:
    using value_type = T;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    /* See "Equality" at the top. */
    using propagate_on_container_copy_assignment = std::false_type;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;

    /* A handle on the module; without one, on "default". */
    constexpr allocator() noexcept = default;
    constexpr explicit allocator(sluice_module module) noexcept : module_(module) {}
    template <typename U>
    constexpr allocator(const allocator<U> &other) noexcept : module_(other.module())
    {
    }

    /* Room for n objects, not constructed. n = 0 gives a pointer that can be deallocated.
     * Throws std::bad_array_new_length (n objects have more than PTRDIFF_MAX bytes), std::bad_alloc. */
    [[nodiscard]] T *allocate(std::size_t n)
    {
        if (n > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T))
            detail::raise<std::bad_array_new_length>();
        return static_cast<T *>(detail::allocate(module_, n * sizeof(T), alignof(T)));
    }

    /* Frees what allocate(n) of any sluice::allocator gave. */
    void deallocate(T *p, std::size_t n) noexcept
    {
        sluice_free_sized(p, n * sizeof(T));
    }

    constexpr sluice_module module() const noexcept
    {
        return module_;
    }

  private:
    sluice_module module_ = SLUICE_MODULE_DEFAULT;
};

template <typename T, typename U>
constexpr bool operator==(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return a.module() == b.module();
}

template <typename T, typename U>
constexpr bool operator!=(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return !(a == b);
}

/* A std::pmr::memory_resource that takes its memory in the name of one module. It must outlive the containers that use
 * it; its memory needs nothing of it. Any thread.
 * allocate() throws std::bad_alloc, also for alignments beyond 1 GiB. */
class SLUICE_API memory_resource : public std::pmr::memory_resource
{
  public:
    memory_resource() noexcept = default;
    explicit memory_resource(sluice_module module) noexcept : module_(module) {}

    sluice_module module() const noexcept
    {
        return module_;
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        return detail::allocate(module_, bytes, alignment);
    }

    void do_deallocate(void *p, std::size_t bytes, std::size_t) override
    {
        sluice_free_sized(p, bytes);
    }

    /* Without RTTI a resource equals itself alone. */
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        if (this == &other)
            return true;
#if defined(__cpp_rtti)
        const auto *same_kind = dynamic_cast<const memory_resource *>(&other);
        return same_kind != nullptr && same_kind->module_ == module_;
#else
        return false;
#endif
    }

    sluice_module module_ = SLUICE_MODULE_DEFAULT;
};

/* One instance of a phase of the policy: begun by the constructor, ended by the destructor. Movable, not copyable. What lives
 * in its memory must be gone, or have nothing left to free, when it ends: declare it before the containers that it holds.
 * The calls are those of sluice.h; any thread, though a phase object itself is for one thread at a time. */
class phase
{
  public:
    /* Throws std::out_of_range (the policy has no such phase), std::bad_alloc, std::length_error (too many are open). */
    explicit phase(const char *name)
    {
        check(sluice_phase_begin(name, &handle_));
    }
    explicit phase(const std::string &name) : phase(name.c_str()) {}

    phase(const phase &) = delete;
    phase &operator=(const phase &) = delete;
    phase(phase &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    phase &operator=(phase &&other)
    {
        if (this != &other) {
            end();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }

    /* An end that is refused here (an instance inside is open, or a thread is in it) is a mistake in the program, and has
     * nowhere to go: it aborts with Sluice's message. Call end() where that may happen. */
    ~phase()
    {
        if (handle_ != nullptr && sluice_phase_end(handle_) != SLUICE_OK) {
            std::fprintf(stderr, "sluice::phase: %s\n", sluice_error_message());
            std::abort();
        }
    }

    /* Ends it now. Throws std::logic_error when it may not end yet; then it is as before. Does nothing the second time. */
    void end()
    {
        if (handle_ != nullptr)
            check(sluice_phase_end(handle_));
        handle_ = nullptr;
    }

    /* Calls fn() when the instance ends, newest first, before its memory goes. fn must not throw. The copy of fn that is
     * kept is of the module "default". Throws std::bad_alloc, std::logic_error (it has ended). */
    template <typename Function> void on_end(Function fn)
    {
        void *place = detail::allocate(SLUICE_MODULE_DEFAULT, sizeof(Function), alignof(Function));
        auto *kept = new (place) Function(std::move(fn));
        enum sluice_result result = sluice_phase_on_end(
            handle_,
            [](void *arg) {
                auto *called = static_cast<Function *>(arg);
                (*called)();
                called->~Function();
                sluice_free(called);
            },
            kept);
        if (result == SLUICE_OK)
            return;
        kept->~Function();
        sluice_free(place);
        check(result);
    }

    sluice_phase *handle() const noexcept
    {
        return handle_;
    }

    /* While it exists, this thread allocates in that instance. Scopes end in the reverse order. */
    class scope
    {
      public:
        explicit scope(const phase &entered) : handle_(entered.handle())
        {
            check(sluice_phase_enter(handle_));
        }
        scope(const scope &) = delete;
        scope &operator=(const scope &) = delete;
        ~scope()
        {
            sluice_phase_leave(handle_);
        }

      private:
        sluice_phase *handle_;
    };

  private:
    static void check(enum sluice_result result)
    {
        switch (result) {
        case SLUICE_OK:
            return;
        case SLUICE_ERROR_UNKNOWN:
            detail::raise<std::out_of_range>(sluice_error_message());
        case SLUICE_ERROR_NO_MEMORY:
            detail::raise<std::bad_alloc>();
        case SLUICE_ERROR_LIMIT:
            detail::raise<std::length_error>(sluice_error_message());
        default:
            detail::raise<std::logic_error>(sluice_error_message());
        }
    }

    sluice_phase *handle_ = nullptr;
};

} // namespace sluice

#endif
