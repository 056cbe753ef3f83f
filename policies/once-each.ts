/**
 * A function that is worked out once for each object and remembered as long as that lives: plain data that goes to
 * other processes as it is gets its compiled form so, on first use.
 */
export function onceEach<Source extends object, Made>(
  make: (source: Source) => Made,
): (source: Source) => Made {
  const made = new WeakMap<Source, { readonly value: Made }>()
  return (source) => {
    const known = made.get(source)
    if (known !== undefined) return known.value
    const value = make(source)
    made.set(source, { value })
    return value
  }
}
