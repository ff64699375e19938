import 'reflect-metadata';

/** With the metadata that it asks for. Loaded where certificates are made: it takes a fifth of a second that nobody else should wait for. */
export * from '@peculiar/x509';
