/** How the common name of each root begins; eight random hexadecimal digits follow. */
export const AUTHORITY_NAME = 'Agent Anchor Gateway CA'
