// Prints what a call gave, or how it failed, as one line of JSON; a failure's exit code is 1.
export async function report(call) {
  try {
    console.log(JSON.stringify({ ok: true, ...(await call()) }))
  } catch (error) {
    const causes = []
    for (let cause = error.cause; cause; cause = cause.cause) causes.push(cause.code ?? String(cause))
    const { name, message, status, code, error: body } = error
    const type = error.constructor.name
    console.log(
      JSON.stringify({ ok: false, error: { name, class: type, message, status, code, body, causes } }),
    )
    process.exitCode = 1
  }
}
