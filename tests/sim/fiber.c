#include "fiber.h"

#include <sys/mman.h>
#include <ucontext.h>

#include "base/limits.h"
#include "base/must.h"
#include "process.h"
#include "world.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif
#ifdef SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

enum {
	STACK_SIZE = 512 * 1024,
	GUARD_SIZE = 4096,
	PLACE = 5, /* pointers: as __builtin_setjmp wants it */
};

struct stack {
	struct stack *next; /* among those that are not in use */
	uint8_t *memory;
};

struct fiber {
	ucontext_t context;  /* where it begins */
	bool has_begun;
	void *place[PLACE];  /* where it goes on, once it has */
	struct stack *stack;
	struct process *process;
	void (*run)(void *argument);
	void *argument;
	void (*ended)(struct process *process, struct fiber *fiber);
	bool is_over;
	uint64_t wake_ns;  /* when it will be resumed, NEVER_NS: nobody has asked for it */
	uint64_t token;    /* of the action that will do it; older ones do nothing */
	struct fiber *next_of_process;
	struct fiber *next_of_world;
};

static struct fiber *current;
static struct fiber *all;
static struct stack *stacks;
static void *world_place[PLACE];

#ifdef SANITIZED
static const void *world_stack;
static size_t world_stack_size;
#endif

/* --- stacks */

static struct stack *stack_take(void)
{
	struct stack *stack = stacks;

	if (stack != NULL) {
		stacks = stack->next;
		return stack;
	}
	stack = sim_alloc(sizeof(*stack));
	stack->memory = mmap(NULL, STACK_SIZE + GUARD_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(stack->memory != MAP_FAILED);
	must(mprotect(stack->memory, GUARD_SIZE, PROT_NONE) == 0);
	return stack;
}

static void stack_give(struct fiber *fiber)
{
	if (fiber->stack == NULL)
		return;
	fiber->stack->next = stacks;
	stacks = fiber->stack;
	fiber->stack = NULL;
}

/* --- switching */

/* The compiler's own setjmp saves what it needs and asks the kernel nothing, as swapcontext does each time (the signal mask, twice); it is
 * not the C library's, which under FORTIFY takes another stack for a mistake. Its pair must be in another function. */
static __attribute__((noinline)) _Noreturn void go_to(void **place)
{
	__builtin_longjmp(place, 1);
}

static __attribute__((noinline)) void go_into(struct fiber *fiber)
{
	if (__builtin_setjmp(world_place) != 0)
		return;
	if (fiber->has_begun)
		go_to(fiber->place);
	fiber->has_begun = true;
	setcontext(&fiber->context);
	must(false);
}

static __attribute__((noinline)) void go_out(struct fiber *fiber)
{
	if (__builtin_setjmp(fiber->place) == 0)
		go_to(world_place);
}

static void enter(struct fiber *fiber)
{
	current = fiber;
#ifdef SANITIZED
	void *saved;

	__sanitizer_start_switch_fiber(&saved, fiber->stack->memory + GUARD_SIZE, STACK_SIZE);
#endif
	go_into(fiber);
#ifdef SANITIZED
	__sanitizer_finish_switch_fiber(saved, NULL, NULL);
#endif
	current = NULL;
	if (fiber->is_over)
		stack_give(fiber);
}

static void leave(struct fiber *fiber)
{
#ifdef SANITIZED
	void *saved = NULL;

	__sanitizer_start_switch_fiber(fiber->is_over ? NULL : &saved, world_stack,
				       world_stack_size);
#endif
	go_out(fiber);
#ifdef SANITIZED
	__sanitizer_finish_switch_fiber(saved, &world_stack, &world_stack_size);
#endif
}

static void begin(void)
{
#ifdef SANITIZED
	__sanitizer_finish_switch_fiber(NULL, &world_stack, &world_stack_size);
#endif
	current->run(current->argument);
	fiber_leave();
}

static void resume(void *context, uint64_t token)
{
	struct fiber *fiber = context;

	if (fiber->is_over || token != fiber->token)
		return;
	fiber->wake_ns = NEVER_NS;
	if (fiber->process->paused_until_ns > world_now()) {
		fiber_wake(fiber, fiber->process->paused_until_ns);
		return;
	}
	enter(fiber);
	if (fiber->is_over && fiber->ended != NULL)
		fiber->ended(fiber->process, fiber);
}

/* --- fibers */

struct fiber *fiber_create(struct process *process, void (*run)(void *argument), void *argument,
			   void (*ended)(struct process *process, struct fiber *fiber))
{
	struct fiber *fiber = sim_alloc(sizeof(*fiber));

	fiber->process = process;
	fiber->run = run;
	fiber->argument = argument;
	fiber->ended = ended;
	fiber->wake_ns = NEVER_NS;
	fiber->stack = stack_take();
	fiber->next_of_process = process->fibers;
	process->fibers = fiber;
	fiber->next_of_world = all;
	all = fiber;
	must(getcontext(&fiber->context) == 0);
	fiber->context.uc_stack.ss_sp = fiber->stack->memory + GUARD_SIZE;
	fiber->context.uc_stack.ss_size = STACK_SIZE;
	fiber->context.uc_link = NULL;
	makecontext(&fiber->context, begin, 0);
	fiber_wake(fiber, world_now());
	return fiber;
}

_Noreturn void fiber_leave(void)
{
	current->is_over = true;
	leave(current);
	must(current == NULL); /* nobody resumes it */
	__builtin_unreachable();
}

void fibers_abandon(struct process *process)
{
	for (struct fiber *fiber = process->fibers; fiber != NULL; fiber = fiber->next_of_process) {
		if (fiber->is_over)
			continue;
		must(fiber != current);
		fiber->is_over = true;
		stack_give(fiber);
	}
}

void fibers_forget(void)
{
	must(current == NULL);
	while (all != NULL) {
		struct fiber *fiber = all;

		all = fiber->next_of_world;
		stack_give(fiber);
		sim_free(fiber);
	}
}

struct process *fiber_process(const struct fiber *fiber)
{
	return fiber->process;
}

/* --- for the doors */

struct fiber *fiber_current(void)
{
	return current;
}

void fiber_park(void)
{
	must(current != NULL);
	leave(current);
}

void fiber_wake(struct fiber *fiber, uint64_t at_ns)
{
	if (fiber->is_over || at_ns >= fiber->wake_ns)
		return;
	fiber->wake_ns = at_ns > world_now() ? at_ns : world_now();
	world_at(fiber->wake_ns, resume, fiber, ++fiber->token);
}

void fiber_sleep(uint64_t ns)
{
	uint64_t end_ns = world_now() + ns;

	/* Who wakes a sleeper up early finds it asleep again; what it was woken for it will find later by itself. */
	do {
		fiber_wake(current, end_ns);
		fiber_park();
	} while (world_now() < end_ns);
}
