// What can go wrong, told in words.

/** It did not work this time; trying again may help. */
export class Unreachable extends Error {}

/** It will not work however often it is tried. */
export class Refused extends Error {}
