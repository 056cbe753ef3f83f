// One HTTPS call with fetch: Node, Deno and Bun.
const url = (globalThis.Deno?.args ?? process.argv.slice(2))[0]
const response = await fetch(url, { headers: { authorization: 'Bearer sk-trust' } })
console.log(await response.text())
