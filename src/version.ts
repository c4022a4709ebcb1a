/** The version, in the one place that a bundle can carry. A test holds it to package.json. */
export const VERSION = '0.1.0'
