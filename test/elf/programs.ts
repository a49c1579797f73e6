/** C programs that have, between them, every kind of symbol and section that kernels' objects have. */

/** Static data and functions, a switch's table, strings, weak functions, COMMON, pointers in data, calls into `LIBRARY`. */
export const PROGRAM = `
extern int shared_counter, other_table[];
extern unsigned char absolute_low[];
long common_array[4] __attribute__((common));
static int local_state = 7;
__attribute__((weak)) int weak_function(int x) { return x + 1; }
__attribute__((weak)) int weak_alone = 11;
static const char *const names[] = {"a", "bb", "ccc"};
extern int library(int, const char *);
extern void outside(int);
static __attribute__((noinline)) int helper(int x) { return x * local_state; }
__attribute__((section(".data..percpu"))) long percpu_word = 3;
int program(int x) {
  static int calls;
  calls++;
  switch (x) {
    case 0: return helper(3);
    case 1: return weak_function(x);
    case 2: return library(x, names[x]);
    case 3: return other_table[2];
    case 4: return shared_counter;
    case 5: return (int)common_array[1];
    case 6: outside(x); return weak_alone;
    case 7: return (int)(long)absolute_low;
    case 8: return __sync_add_and_fetch(&percpu_word, 2);
  }
  return calls;
}
int (*volatile pointers[])(int) = {program, weak_function, helper};
__attribute__((section(".text.again"))) int again(int (*f)(int)) { return f(1) + again((int (*)(int))pointers[0]); }
`;

export const LIBRARY = `
int shared_counter = 5, other_table[16] = {1, 2, 3};
long common_array[9] __attribute__((common));
static int local_state = 9;
static __attribute__((noinline)) int helper(int x) { return x - local_state++; }
int weak_function(int x) { return helper(x) - 1; }
__attribute__((weak)) int weak_alone = 12;
extern int program(int);
int library(int a, const char *s) { return program(a) + s[0] + weak_function(a) + (int)common_array[8]; }
`;

/** Two copies of one thunk in groups, each called; the second file's is larger, so that it shows which one is kept. */
export const thunk = (name: string, padding: number): string => `
	.section .text.thunk, "axG", @progbits, thunk, comdat
	.weak	thunk
	.type	thunk, @function
thunk:	.fill	${padding}, 1, 0x90
	jmp	*%rax
	.size	thunk, . - thunk
	.text
	.globl	${name}
${name}:
	call	thunk
	jmp	thunk
	.data
	.quad	thunk, ${name}
`;
