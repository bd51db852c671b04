/* The subcommands: options in, exit status out; nothing else. */
#ifndef ROGER_CLI_COMMANDS_H
#define ROGER_CLI_COMMANDS_H

/* `arguments` are those behind the subcommand's name. */
int command_serve(int count, char **arguments);
int command_send(int count, char **arguments);
int command_read(int count, char **arguments);
int command_verify(int count, char **arguments);
int command_repair(int count, char **arguments);
int command_bench(int count, char **arguments);

/* Where `roger serve` keeps its journal, and where the others look for it. */
#define JOURNAL_DEFAULT "./roger-journal"

#endif
