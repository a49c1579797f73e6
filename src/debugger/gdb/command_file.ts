/** Commands for gdb that make the debugger's own ones as handy as gdb's. */

/** Names that gdb does not use itself, and what they are short for. */
const SHORT = ['nmi', 'mc', 'fire', 'latch', 'stacks', 'branches', 'who'] as const;

/** The text of a file for `gdb -x`. */
export function commandFile(port: number): string {
  return `# Written by entrace gdb, for as long as it runs: gdb -x THIS FILE
target remote 127.0.0.1:${port}
monitor gdb-command-file

# Monitor commands are to stop at gdb's breakpoints too.
set breakpoint always-inserted on

# The instruction, where no source line can be shown.
set disassemble-next-line auto

# A monitor command may have moved the debugger: then gdb is to look where it stands. Signals go forwards only.
define hookpost-monitor
  pipe maintenance flush register-cache | cat > /dev/null
  if $moved
    if $_thread != $runs
      set $_entrace_thread = $runs
      pipe thread $_entrace_thread | cat > /dev/null
    end
    with exec-direction forward -- signal SIGINFO
  end
end

${SHORT.map((name) => `alias ${name} = monitor ${name}`).join('\n')}

monitor where
`;
}
