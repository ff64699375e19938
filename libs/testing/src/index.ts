export { connectionConformance, type ConnectionPair, type ConnectionSubject } from './connection.js';
