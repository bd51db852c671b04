/* fiber: threads of control that the world resumes one at a time. process.h has what the doors call. */
#ifndef ROGER_SIM_FIBER_H
#define ROGER_SIM_FIBER_H

#include <stdbool.h>
#include <stdint.h>

struct fiber;
struct process;

/* A new thread of `process`; it begins now. `ended` is called from the world when `run` has returned (or fiber_leave was called). */
struct fiber *fiber_create(struct process *process, void (*run)(void *argument), void *argument,
			   void (*ended)(struct process *process, struct fiber *fiber));

/* The calling one ends here. */
_Noreturn void fiber_leave(void);

/* All of them that a process has are never resumed again. From the world only. */
void fibers_abandon(struct process *process);

/* At the end of a world: the structs go (stacks are kept for the next one). */
void fibers_forget(void);

struct process *fiber_process(const struct fiber *fiber);

#endif
