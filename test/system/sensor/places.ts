/** What the far side's DNS says of a governed name of a wildcard. */
export const ANSWERED = {
  name: 'my-deployment.openai.azure.com',
  address4: '203.0.113.99',
  address6: '2001:db8:113::99',
} as const

/** Of the sensor's own account, which needn't exist. */
export const SENSOR_UID = 1500
export const SENSOR_GID = 1501
