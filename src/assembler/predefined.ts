/**
 * What gcc 12 predefines for `.S` files of x86-64 Linux with -fno-pie (`gcc -dM -E`), without the macros that describe
 * C's types by name and floating point: code of an entry path cannot ask for these.
 */

function all(names: string, value: string): [string, string][] {
  return names.split(' ').map((name) => [name, value]);
}

export const PREDEFINED: Readonly<Record<string, string>> = Object.fromEntries([
  ...all('__ASSEMBLER__ __ELF__ __LP64__ _LP64 __STDC__ __STDC_HOSTED__ __NO_INLINE__', '1'),
  ...all('__x86_64__ __x86_64 __amd64__ __amd64 __k8 __k8__ __code_model_small__ __SEG_FS __SEG_GS', '1'),
  ...all('__MMX__ __SSE__ __SSE2__ __FXSR__ __SSE_MATH__ __SSE2_MATH__ __MMX_WITH_SSE__', '1'),
  ...all('__linux__ __linux linux __gnu_linux__ __unix__ __unix unix', '1'),
  ['__GNUC__', '12'],
  ['__GNUC_MINOR__', '2'],
  ['__GNUC_PATCHLEVEL__', '0'],
  ['__VERSION__', '"12.2.0"'],
  ['__REGISTER_PREFIX__', ''],
  ['__USER_LABEL_PREFIX__', ''],
  ['__CHAR_BIT__', '8'],
  ['__BIGGEST_ALIGNMENT__', '16'],
  ...all('__SIZEOF_SHORT__', '2'),
  ...all('__SIZEOF_INT__ __SIZEOF_FLOAT__ __SIZEOF_WCHAR_T__ __SIZEOF_WINT_T__', '4'),
  ...all('__SIZEOF_LONG__ __SIZEOF_LONG_LONG__ __SIZEOF_POINTER__ __SIZEOF_SIZE_T__ __SIZEOF_PTRDIFF_T__', '8'),
  ...all('__SIZEOF_DOUBLE__', '8'),
  ...all('__SIZEOF_INT128__ __SIZEOF_LONG_DOUBLE__', '16'),
  ...all('__SCHAR_WIDTH__', '8'),
  ...all('__SHRT_WIDTH__', '16'),
  ...all('__INT_WIDTH__ __WCHAR_WIDTH__ __WINT_WIDTH__', '32'),
  ...all('__LONG_WIDTH__ __LONG_LONG_WIDTH__ __SIZE_WIDTH__ __PTRDIFF_WIDTH__ __INTPTR_WIDTH__', '64'),
  ...all('__SCHAR_MAX__ __INT8_MAX__', '0x7f'),
  ...all('__SHRT_MAX__ __INT16_MAX__', '0x7fff'),
  ...all('__INT_MAX__ __INT32_MAX__ __WCHAR_MAX__', '0x7fffffff'),
  ...all('__LONG_MAX__ __INT64_MAX__ __INTMAX_MAX__ __INTPTR_MAX__ __PTRDIFF_MAX__', '0x7fffffffffffffffL'),
  ...all('__LONG_LONG_MAX__', '0x7fffffffffffffffLL'),
  ...all('__UINT8_MAX__', '0xff'),
  ...all('__UINT16_MAX__', '0xffff'),
  ...all('__UINT32_MAX__ __WINT_MAX__', '0xffffffffU'),
  ...all('__UINT64_MAX__ __UINTMAX_MAX__ __UINTPTR_MAX__ __SIZE_MAX__', '0xffffffffffffffffUL'),
  ['__ORDER_LITTLE_ENDIAN__', '1234'],
  ['__ORDER_BIG_ENDIAN__', '4321'],
  ['__ORDER_PDP_ENDIAN__', '3412'],
  ...all('__BYTE_ORDER__ __FLOAT_WORD_ORDER__', '__ORDER_LITTLE_ENDIAN__'),
]);
