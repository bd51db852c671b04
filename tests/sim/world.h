/* world: virtual time, chance, and what happens next.
 *
 * There is one world at a time, on one thread, made from one seed: everything that happens in it is drawn from that seed and
 * from nothing else, so the same seed gives the same trace, on every compiler and with every sanitizer. Nothing here knows what a
 * process, a disk or a network is. */
#ifndef ROGER_SIM_WORLD_H
#define ROGER_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void world_begin(uint64_t seed);
void world_end(void);
void world_calm(void); /* what was still to happen does not; time and chance go on */
uint64_t world_seed(void);

/* Memory of the simulator itself (zeroed; never fails): counted to no process. */
void *sim_alloc(size_t size);
void *sim_resize(void *memory, size_t size);
void sim_free(void *memory);

/* True time, ns since the world began. What processes see is their host's (process.h). */
uint64_t world_now(void);

/* --- chance */

uint64_t world_draw(uint64_t below);                       /* 0 .. below - 1; below > 0 */
uint64_t world_between(uint64_t least, uint64_t most);     /* both may come */
bool world_chance(uint32_t per_million);

/* A time span that is mostly short and now and then long: from `least` on, around `usual`, up to `most`. ns. */
uint64_t world_span(uint64_t least, uint64_t usual, uint64_t most);

/* --- what happens next */

typedef void (*world_action)(void *context, uint64_t argument);

/* Do `action` at that time; now or in the past: as soon as everything before it is done. Actions of the same instant come in the
 * order in which they were asked for. There is no taking back: who may be gone by then checks `argument` (a generation). */
void world_at(uint64_t at_ns, world_action action, void *context, uint64_t argument);

/* Take the next action; false when there is none left. */
bool world_step(void);
uint64_t world_next(void); /* its time; NEVER_NS when there is none */

/* --- what has happened */

/* Everything that matters goes through here: into the trace's hash, and with -v onto the screen. `what` is a literal. */
void world_trace(const char *what, uint64_t a, uint64_t b);
uint64_t world_trace_hash(void);
void world_verbose(bool verbose);

/* An invariant is broken: the seed has failed, here and now. Prints "seed N failed: ..." and ends this process (each worker of
 * `sim` is one; its parent goes on with the next seed). */
__attribute__((format(printf, 1, 2))) _Noreturn void world_fail(const char *format, ...);

#endif
